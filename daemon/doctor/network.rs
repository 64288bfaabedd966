//! The way to Kustomer: name, connection, proxy, TLS. Says which part of it fails, because each is another person's.

use super::Finding;
use crate::kustomer::fault::KustomerFault;

const CHECK: &str = "network";

/// Where the first connection goes, and how far it came.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Kustomer's host.
    pub host: String,
    /// Host and port that are connected to: the proxy's, or Kustomer's.
    pub door: (String, u16),
    pub proxied: bool,
    /// How many addresses the door's name has, or why it has none.
    pub resolved: Result<usize, String>,
    /// Whether one of them takes a connection; of no meaning without an address.
    pub connected: Result<(), String>,
}

/// What a question over that way came to.
pub fn way(integration: &str, reach: &Reach, answer: &Result<(), KustomerFault>) -> Finding {
    let (door, port) = &reach.door;
    let via = if reach.proxied {
        format!(" through the proxy {door}:{port}")
    } else {
        String::new()
    };
    let Err(fault) = answer else {
        return Finding::ok(CHECK, integration, format!("{} answers{via}", reach.host));
    };
    let faulty = |what: String, todo: &str| Finding::fault(CHECK, integration, what, todo);
    match (&reach.resolved, &reach.connected) {
        (Err(why), _) if !spoke(fault) => faulty(
            format!("the name {door} has no address: {why}"),
            if reach.proxied {
                "correct url of [kustomer.proxy], or the name servers in /etc/resolv.conf"
            } else {
                "correct org or url, or the name servers in /etc/resolv.conf; a network without a name server for the internet needs [kustomer.proxy]"
            },
        ),
        (Ok(_), Err(why)) if !spoke(fault) => faulty(
            format!("{door}:{port} takes no connection: {why}"),
            if reach.proxied {
                "see that the proxy runs, and correct url of [kustomer.proxy]"
            } else {
                "let this machine out to that host and port in the firewall (docs/operating.md, Networks), or set [kustomer.proxy]"
            },
        ),
        (Ok(_) | Err(_), _) => answered(integration, reach, fault, &via),
    }
}

/// Whether Kustomer itself has said no: then the way to it is right.
const fn spoke(fault: &KustomerFault) -> bool {
    matches!(
        fault,
        KustomerFault::Unauthorized { .. } | KustomerFault::Rejected { .. }
    )
}

/// There was a connection; what came of it.
fn answered(integration: &str, reach: &Reach, fault: &KustomerFault, via: &str) -> Finding {
    let faulty = |what: String, todo: &str| Finding::fault(CHECK, integration, what, todo);
    let host = &reach.host;
    let KustomerFault::Unreachable(why) = fault else {
        return if spoke(fault) {
            Finding::ok(CHECK, integration, format!("{host} answers{via}"))
        } else {
            faulty(
                format!("{host}{via}: {fault}"),
                "ask again in some minutes; if it stays, see what stands between this machine and Kustomer",
            )
        };
    };
    if why.contains("proxy authorization required") {
        faulty(
            format!("the proxy refuses user or password{via}"),
            "correct user and password_file of [kustomer.proxy]",
        )
    } else if reach.proxied && why.contains("tunnel") {
        faulty(
            format!("the proxy doesn't lead to {host}{via}: {why}"),
            "let the proxy connect (CONNECT) to that host, port 443",
        )
    } else if why.contains("certificate") {
        faulty(
            format!("{host}'s certificate isn't trusted{via}: {why}"),
            "if something on your side reads along (a TLS inspection), name its authority's certificates with ca_file; if not, somebody else does",
        )
    } else {
        faulty(
            format!("no TLS with {host}{via}: {why}"),
            "see what stands between this machine and Kustomer; a host that speaks http alone has no https",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use std::time::Duration;

    fn reach(proxied: bool, resolved: Result<usize, &str>, connected: Result<(), &str>) -> Reach {
        let door = if proxied {
            "proxy.example"
        } else {
            "acme.api.kustomerapp.com"
        };
        Reach {
            host: "acme.api.kustomerapp.com".to_owned(),
            door: (door.to_owned(), 443),
            proxied,
            resolved: resolved.map_err(str::to_owned),
            connected: connected.map_err(str::to_owned),
        }
    }

    type Case<'a> = (
        &'a Reach,
        Result<(), KustomerFault>,
        Level,
        &'a str,
        &'a str,
    );

    fn all_hold(table: &[Case<'_>]) {
        for (reach, answer, level, what, todo) in table {
            let found = way("support", reach, answer);
            assert_eq!(found.level, *level, "{found:?}");
            assert!(
                found.what.contains(what) && found.todo.contains(todo),
                "{found:?}"
            );
        }
    }

    fn away(why: &str) -> Result<(), KustomerFault> {
        Err(KustomerFault::Unreachable(why.to_owned()))
    }

    #[test]
    fn each_part_of_the_way_has_its_own_finding() {
        let refused = Err(KustomerFault::Unauthorized {
            status: 401,
            detail: String::new(),
        });
        let late = Err(KustomerFault::Timeout(Duration::from_secs(30)));
        let page = Err(KustomerFault::Garbled {
            status: 200,
            what: "no JSON".to_owned(),
        });
        let whole = reach(false, Ok(2), Ok(()));
        let unknown = reach(false, Err("unknown"), Err(""));
        let closed = reach(false, Ok(1), Err("Connection refused"));
        all_hold(&[
            (&whole, Ok(()), Level::Ok, "answers", ""),
            (&whole, refused, Level::Ok, "answers", ""),
            (
                &unknown,
                away("dns"),
                Level::Fault,
                "the name acme.api.kustomerapp.com has no address",
                "resolv.conf",
            ),
            (
                &closed,
                away("refused"),
                Level::Fault,
                "takes no connection: Connection refused",
                "firewall",
            ),
            (
                &whole,
                away("invalid peer certificate: UnknownIssuer"),
                Level::Fault,
                "isn't trusted",
                "ca_file",
            ),
            (
                &whole,
                away("received corrupt message"),
                Level::Fault,
                "no TLS with acme",
                "http alone",
            ),
            (
                &whole,
                late,
                Level::Fault,
                "no reply within 30 s",
                "some minutes",
            ),
            (
                &whole,
                page,
                Level::Fault,
                "cannot be used: no JSON",
                "stands between",
            ),
        ]);
    }

    #[test]
    fn a_proxy_has_its_own_findings() {
        let proxy = reach(true, Ok(1), Ok(()));
        let unknown = reach(true, Err("unknown"), Err(""));
        let closed = reach(true, Ok(1), Err("refused"));
        all_hold(&[
            (
                &proxy,
                Ok(()),
                Level::Ok,
                "answers through the proxy proxy.example:443",
                "",
            ),
            (
                &unknown,
                away("dns"),
                Level::Fault,
                "the name proxy.example",
                "[kustomer.proxy]",
            ),
            (
                &closed,
                away("x"),
                Level::Fault,
                "proxy.example:443 takes no",
                "the proxy runs",
            ),
            (
                &proxy,
                away("proxy authorization required"),
                Level::Fault,
                "refuses user or password",
                "password_file",
            ),
            (
                &proxy,
                away("tunnel error: unsuccessful"),
                Level::Fault,
                "doesn't lead to acme",
                "CONNECT",
            ),
        ]);
    }
}
