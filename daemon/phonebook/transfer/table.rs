//! CSV both ways: the columns, a row to a contact and back. Used by `transfer/`.
//!
//! Cells that hold several values have them separated by semicolons; a semicolon or backslash within one has a backslash
//! in front.

use crate::phonebook::Entry;
use crate::phonebook::directory::Content;
use crate::terms::contact::{Email, EmailAddress, EmailKind, Phone, PhoneKind};
use crate::terms::number::NumberPlan;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Id,
    Name,
    Company,
    Phone(PhoneKind),
    Email(EmailKind),
    Website,
    Street,
    City,
    Zip,
    State,
    Country,
    Link,
    Tags,
}

/// Every column by its name, in the order of an export.
const COLUMNS: [(&str, Column); 19] = [
    ("id", Column::Id),
    ("name", Column::Name),
    ("company", Column::Company),
    ("mobile", Column::Phone(PhoneKind::Mobile)),
    ("work", Column::Phone(PhoneKind::Work)),
    ("home", Column::Phone(PhoneKind::Home)),
    ("fax", Column::Phone(PhoneKind::Fax)),
    ("phone", Column::Phone(PhoneKind::Other)),
    ("email_work", Column::Email(EmailKind::Work)),
    ("email_home", Column::Email(EmailKind::Home)),
    ("email", Column::Email(EmailKind::Other)),
    ("website", Column::Website),
    ("street", Column::Street),
    ("city", Column::City),
    ("zip", Column::Zip),
    ("state", Column::State),
    ("country", Column::Country),
    ("link", Column::Link),
    ("tags", Column::Tags),
];

/// The header row of a file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    columns: Vec<Column>,
    delimiter: u8,
}

impl Header {
    /// Reads the names of the columns, in any order and case. Spreadsheets of some countries separate by semicolons.
    ///
    /// # Errors
    /// The names that are no column's, or that `name` is missing.
    pub fn read(row: &[u8]) -> Result<Self, String> {
        let row = row.strip_prefix(b"\xef\xbb\xbf").unwrap_or(row);
        let comma = row.contains(&b',');
        let delimiter = if !comma && row.contains(&b';') {
            b';'
        } else {
            b','
        };
        let mut columns = Vec::new();
        let mut unknown = Vec::new();
        for name in cells(row, delimiter)? {
            let name = name.trim().to_lowercase();
            match COLUMNS.iter().find(|(known, _)| *known == name) {
                Some((_, column)) => columns.push(*column),
                None => unknown.push(name),
            }
        }
        let known = COLUMNS.map(|(name, _)| name).join(", ");
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            return Err(format!(
                "the header row has columns that aren't known: {unknown}; known: {known}"
            ));
        }
        if !columns.contains(&Column::Name) {
            return Err(format!(
                "the header row has no column \"name\"; known columns: {known}"
            ));
        }
        Ok(Self { columns, delimiter })
    }

    /// The id, if there is one, and the contact of a row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn contact(
        &self,
        row: &[u8],
        plan: &NumberPlan,
    ) -> Result<(Option<String>, Content), String> {
        let cells = cells(row, self.delimiter)?;
        if cells.len() > self.columns.len() {
            let (cells, columns) = (cells.len(), self.columns.len());
            return Err(format!("{cells} cells for {columns} columns"));
        }
        let mut content = Content::default();
        let mut id = None;
        for (column, cell) in self.columns.iter().zip(cells) {
            let fields = &mut content.fields;
            let cell = cell.trim().to_owned();
            match column {
                Column::Id => id = Some(cell).filter(|id| !id.is_empty()),
                Column::Name => fields.name = cell,
                Column::Company => fields.company = cell,
                Column::Phone(kind) => {
                    for written in split(&cell) {
                        let number = plan
                            .parse_signalled(&written)
                            .map_err(|fault| format!("{written:?}: {fault}"))?;
                        fields.phones.push(Phone {
                            number,
                            kind: *kind,
                        });
                    }
                }
                Column::Email(kind) => {
                    for written in split(&cell) {
                        let email = EmailAddress::parse(&written)
                            .ok_or_else(|| format!("{written:?} is no e-mail address"))?;
                        fields.emails.push(Email { email, kind: *kind });
                    }
                }
                Column::Website => fields.website = cell,
                Column::Street => fields.address.street = cell,
                Column::City => fields.address.city = cell,
                Column::Zip => fields.address.zip = cell,
                Column::State => fields.address.state = cell,
                Column::Country => fields.address.country = cell,
                Column::Link => content.link = Some(cell).filter(|link| !link.is_empty()),
                Column::Tags => content.tags = split(&cell),
            }
        }
        Ok((id, content))
    }
}

/// The header row of an export.
pub fn header() -> String {
    row(&COLUMNS.map(|(name, _)| name.to_owned()))
}

/// The row of a contact.
pub fn write(entry: &Entry) -> String {
    let contact = &entry.contact;
    let fields = &contact.fields;
    let address = &fields.address;
    row(&COLUMNS.map(|(_, column)| match column {
        Column::Id => contact.id.0.clone(),
        Column::Name => fields.name.clone(),
        Column::Company => fields.company.clone(),
        Column::Phone(kind) => {
            let phones = fields.phones.iter().filter(|phone| phone.kind == kind);
            join(phones.map(|phone| phone.number.as_str()))
        }
        Column::Email(kind) => {
            let emails = fields.emails.iter().filter(|email| email.kind == kind);
            join(emails.map(|email| email.email.as_str()))
        }
        Column::Website => fields.website.clone(),
        Column::Street => address.street.clone(),
        Column::City => address.city.clone(),
        Column::Zip => address.zip.clone(),
        Column::State => address.state.clone(),
        Column::Country => address.country.clone(),
        Column::Link => contact.link.clone().unwrap_or_default(),
        Column::Tags => join(contact.tags.iter().map(String::as_str)),
    }))
}

fn row(cells: &[String; COLUMNS.len()]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing into memory can't fail.
    let written = writer.write_record(cells).ok();
    let bytes = written.and_then(|()| writer.into_inner().ok());
    String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
}

fn cells(row: &[u8], delimiter: u8) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .buffer_capacity(row.len().clamp(64, 8 * 1024))
        .from_reader(row);
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(_) => Ok(record.iter().map(str::to_owned).collect()),
        Err(error) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => {
            Err("this is no UTF-8; save the file as \"CSV UTF-8\"".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn join<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let values: Vec<String> = values
        .map(|value| value.replace('\\', "\\\\").replace(';', "\\;"))
        .collect();
    values.join("; ")
}

fn split(cell: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let mut chars = cell.chars();
    while let Some(c) = chars.next() {
        let kept = match c {
            '\\' => chars.next(),
            ';' => {
                values.push(String::new());
                None
            }
            other => Some(other),
        };
        if let Some(value) = values.last_mut() {
            value.extend(kept);
        }
    }
    let values = values.into_iter().map(|value| value.trim().to_owned());
    values.filter(|value| !value.is_empty()).collect()
}
