//! A delivery's entry in the words of Kustomer's client. Pure; called by `log`.

use super::entry::{self, Way};
use super::note;
use super::outbox::Delivery;
use crate::kustomer::conversations::{Channel, NewConversation, NewMessage, NewNote, Status};
use crate::kustomer::customers::NewCustomer;
use crate::terms::call::Direction;
use crate::terms::ids::{TeamId, UserId};

/// Whom to create where nobody has the number.
pub fn customer(new: &entry::NewCustomer) -> NewCustomer {
    NewCustomer {
        name: Some(new.name.clone()),
        phones: vec![new.phone.clone()],
        ..NewCustomer::default()
    }
}

/// The conversation of a delivery, with what was found for it.
pub fn conversation(delivery: &Delivery) -> NewConversation {
    let Delivery { entry, extras, .. } = delivery;
    NewConversation {
        external_id: entry.external_id.clone(),
        name: entry.name.clone(),
        direction: entry.direction.map_or(Direction::Internal, direction),
        status: status(entry.status),
        created_at: Some(entry.created_at),
        assigned_users: extras.users.iter().cloned().map(UserId).collect(),
        assigned_teams: extras.teams.iter().cloned().map(TeamId).collect(),
        tags: entry.tags.clone(),
        custom: extras.custom.clone(),
    }
}

/// The note, with whom else the number belongs to: known only once Kustomer was asked, so added last.
pub fn note(delivery: &Delivery) -> NewNote {
    let written = delivery.amended.as_ref().unwrap_or(&delivery.entry.note);
    let others = &delivery.others;
    let body = if others.is_empty() {
        written.clone()
    } else {
        let others = others.join(", ");
        let all = format!("{}\nAlso with this number: {others}", written.trim_end());
        note::clip(&all, note::NOTE_UNITS_MAX)
    };
    NewNote {
        external_id: delivery.entry.note_external_id.clone(),
        body,
    }
}

/// The message that records the call or text in it.
pub fn message(message: &entry::Message) -> NewMessage {
    let meta = &message.meta;
    let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
    let channel = match message.channel {
        entry::Channel::Sms => Channel::Sms,
        entry::Channel::Voice => Channel::Voice {
            placed_at: meta.placed_at.unwrap_or(message.sent_at),
            answered_at: meta.answered_at,
            ended_at: meta.ended_at.unwrap_or(message.sent_at),
            recording: meta.recording.clone(),
        },
    };
    NewMessage {
        external_id: message.external_id.clone(),
        direction: direction(message.direction),
        sent_at: message.sent_at,
        preview: message.preview.clone(),
        from: number(&meta.from),
        to: number(&meta.to),
        channel,
    }
}

const fn direction(way: Way) -> Direction {
    match way {
        Way::In => Direction::In,
        Way::Out => Direction::Out,
    }
}

const fn status(status: entry::Status) -> Status {
    match status {
        entry::Status::Open => Status::Open,
        entry::Status::Done => Status::Done,
    }
}
