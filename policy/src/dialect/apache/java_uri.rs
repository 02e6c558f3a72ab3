//! URIs as the operator's runtime reads them (`java.net.URI`, RFC 2396 with some leniency): whether a text is one, its
//! scheme, and its host if it has one.

/// What is needed of a URI.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Uri<'t> {
    pub(crate) scheme: Option<&'t str>,
    /// The host; IPv6 addresses with their brackets. `None` if the authority names no server (`a_b`, `1.2.3.999`).
    pub(crate) host: Option<&'t str>,
}

/// A text that is no URI, with the reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoUri(pub(crate) &'static str);

const MARKS: &str = "-_.!~*'()";

fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || MARKS.contains(c)
}

fn is_other(c: char) -> bool {
    u32::from(c) > 128 && !c.is_whitespace() && !c.is_control()
}

/// Whether a text holds nothing but unreserved characters, these others, other scripts and whole escapes.
fn consists_of(text: &str, others: &str) -> Result<bool, NoUri> {
    let mut rest = text.chars();
    let mut fits = true;
    while let Some(c) = rest.next() {
        if c == '%' && !others.contains('%') {
            let escaped = [rest.next(), rest.next()]
                .iter()
                .all(|hex| hex.is_some_and(|hex| hex.is_ascii_hexdigit()));
            if !escaped {
                return Err(NoUri("a % is not followed by two hexadecimal digits"));
            }
        } else if !(is_unreserved(c) || others.contains(c) || is_other(c)) {
            fits = false;
        }
    }
    Ok(fits)
}

fn require(text: &str, others: &str, why: &'static str) -> Result<(), NoUri> {
    if consists_of(text, others)? {
        Ok(())
    } else {
        Err(NoUri(why))
    }
}

const URIC: &str = ";/?:@&=+$,[]";
const PATH: &str = ";/:@&=+$,";

/// Reads a URI.
pub(crate) fn parse(text: &str) -> Result<Uri<'_>, NoUri> {
    let (before_fragment, fragment) = match text.split_once('#') {
        Some((before, fragment)) => (before, Some(fragment)),
        None => (text, None),
    };
    if let Some(fragment) = fragment {
        require(
            fragment,
            URIC,
            "the fragment holds a character that must be escaped",
        )?;
    }
    let delimiter = before_fragment.find(['/', '?', ':']);
    let scheme_end = delimiter.filter(|at| before_fragment.get(*at..*at + 1) == Some(":"));
    let Some(end) = scheme_end else {
        return hierarchical(before_fragment, fragment.is_some())
            .map(|host| Uri { scheme: None, host });
    };
    let (scheme, rest) = before_fragment
        .split_at_checked(end)
        .ok_or(NoUri("it is cut off"))?;
    let rest = rest.get(1..).unwrap_or("");
    let well_formed = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if !well_formed {
        return Err(NoUri(
            "the scheme holds something else than letters, digits, +, - and .",
        ));
    }
    let host = if rest.starts_with('/') {
        hierarchical(rest, fragment.is_some())?
    } else if rest.is_empty() {
        return Err(NoUri("nothing follows the scheme"));
    } else {
        require(rest, URIC, "it holds a character that must be escaped")?;
        None
    };
    Ok(Uri {
        scheme: Some(scheme),
        host,
    })
}

/// The part from the path on; the host, if there is an authority that names one.
fn hierarchical(text: &str, has_fragment: bool) -> Result<Option<&str>, NoUri> {
    let mut host = None;
    let mut rest = text;
    if let Some(after) = text.strip_prefix("//") {
        let end = after.find(['/', '?']).unwrap_or(after.len());
        let (authority, tail) = after.split_at_checked(end).ok_or(NoUri("it is cut off"))?;
        if !authority.is_empty() {
            host = server(authority)?;
        } else if tail.is_empty() && !has_fragment {
            return Err(NoUri("a host is missing after //"));
        }
        rest = tail;
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    require(
        path,
        PATH,
        "the path holds a character that must be escaped",
    )?;
    require(
        query,
        URIC,
        "the query holds a character that must be escaped",
    )?;
    Ok(host)
}

/// The host of an authority; `Ok(None)` for an authority that is a name of another kind.
fn server(authority: &str) -> Result<Option<&str>, NoUri> {
    let has_bracket = authority.find(']').is_some_and(|at| at > 0);
    let server_characters = if has_bracket {
        ";:&=+$,@[]%"
    } else {
        ";:&=+$,@[]"
    };
    let server_like = consists_of(authority, server_characters)?;
    let name_like = consists_of(authority, "$,;:@&=+").unwrap_or(false);
    let read = if server_like {
        host_and_port(authority)
    } else if name_like {
        return Ok(None);
    } else {
        Err(NoUri("the host holds a character that is not allowed"))
    };
    match read {
        Ok(host) => Ok(Some(host)),
        Err(_) if name_like => Ok(None),
        Err(why) => Err(why),
    }
}

fn host_and_port(authority: &str) -> Result<&str, NoUri> {
    let server = match authority.split_once('@') {
        Some((user, server)) => {
            require(
                user,
                ";:&=+$,",
                "the user holds a character that is not allowed",
            )?;
            server
        }
        None => authority,
    };
    let host_end = if server.starts_with('[') {
        let end = server.find(']').ok_or(NoUri("a bracket is not closed"))?;
        let literal = server.get(1..end).unwrap_or("");
        let (address, scope) = match literal.split_once('%') {
            Some((address, scope)) => (address, Some(scope)),
            None => (literal, None),
        };
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(NoUri("there is no IPv6 address between the brackets"));
        }
        let scope_is_well_formed = scope.is_none_or(|scope| {
            !scope.is_empty()
                && scope
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
        });
        if !scope_is_well_formed {
            return Err(NoUri("the zone of the IPv6 address is not well formed"));
        }
        end + 1
    } else {
        let end = server.find(':').unwrap_or(server.len());
        let name = server.get(..end).unwrap_or("");
        if !is_ipv4(name) && !is_host_name(name) {
            return Err(NoUri("the host is neither a name nor an address"));
        }
        end
    };
    let (host, tail) = server
        .split_at_checked(host_end)
        .ok_or(NoUri("it is cut off"))?;
    match tail.strip_prefix(':') {
        None if tail.is_empty() => Ok(host),
        Some("") => Ok(host),
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<i32>().is_ok() => {
            Ok(host)
        }
        _ => Err(NoUri("the port is no number")),
    }
}

fn is_ipv4(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(5, '.').collect();
    parts.len() == 4
        && parts.iter().all(|part| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_digit())
                && part.parse::<u32>().is_ok_and(|byte| byte <= 255)
        })
}

fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let well_formed = text.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    });
    let last_is_a_word = text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.starts_with(|c: char| c.is_ascii_alphabetic()));
    well_formed && (!text.contains('.') || last_is_a_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Option<&str> {
        parse(text).unwrap().host
    }

    #[test]
    fn schemes_and_hosts() {
        assert_eq!(
            parse("https://example.com/path/to/job.jar"),
            Ok(Uri {
                scheme: Some("https"),
                host: Some("example.com")
            })
        );
        assert_eq!(parse("/no/scheme.jar").unwrap().scheme, None);
        assert_eq!(parse("").unwrap().scheme, None);
        assert_eq!(
            host("https://user:pw@example.com:8443/x"),
            Some("example.com")
        );
        assert_eq!(host("https://[::1]:80/x"), Some("[::1]"));
        assert_eq!(host("https://127.0.0.1/x"), Some("127.0.0.1"));
        assert_eq!(host("https://2130706433/x"), Some("2130706433"));
        assert_eq!(host("s3://my_bucket/x"), None);
        assert_eq!(host("https://1.2.3.999/x"), None);
        assert_eq!(host("file:///etc/passwd"), None);
        assert_eq!(parse("mailto:a@b").unwrap().host, None);
        assert_eq!(host("https://example.com:/x"), Some("example.com"));
    }

    #[test]
    fn texts_that_are_no_uris() {
        for text in [
            "ht tp://bad uri",
            "https://example.com/a b",
            "https://example.com/%zz",
            "https://",
            "https:",
            ":x",
            "1http://x",
            "https://[::1",
            "https://[zz]/x",
            "https://example.com/<x>",
            "https://example.com/a\\b",
            "https://exa mple.com/x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
