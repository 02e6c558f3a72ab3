//! `spec.ingress`: the template must make a URL once name and namespace are filled in.

use super::rules::INGRESS;
use crate::finding::{CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use serde_json::Value;
use std::net::Ipv6Addr;

/// The longest template, in bytes: far beyond any host and path, and short enough to be filled in and quoted.
const LONGEST_TEMPLATE: usize = 4096;

/// The longest name of an object, in bytes. A longer one makes nothing, and is refused as a name; the mutating call may see one.
const LONGEST_NAME: usize = 253;

/// Judges `spec.ingress`, if there is one.
pub(crate) fn judge(object: &Value, name: &str, namespace: &str, findings: &mut Findings) {
    if json::present(object, &["spec", "ingress"]).is_none() {
        return;
    }
    let field = FieldPath::of("spec.ingress.template");
    let Some(template) = json::present(object, &["spec", "ingress", "template"]) else {
        findings.refuse(
            &INGRESS,
            field,
            CauseReason::Required,
            "an ingress needs a template such as {{name}}.{{namespace}}.example.org",
        );
        return;
    };
    let Some(template) = template.as_str() else {
        return;
    };
    if template.len() > LONGEST_TEMPLATE {
        findings.refuse(
            &INGRESS,
            field,
            CauseReason::Invalid,
            format!(
                "a template of {} bytes makes no URL that an Ingress takes; write {LONGEST_TEMPLATE} at most",
                template.len()
            ),
        );
        return;
    }
    if name.len() > LONGEST_NAME || namespace.len() > LONGEST_NAME {
        return;
    }
    if let Err(why) = check_url(&fill(template, name, namespace)) {
        findings.refuse(
            &INGRESS,
            field,
            CauseReason::Invalid,
            format!(
                "{} makes no URL: {why}; write a host and path such as {{{{name}}}}.example.org/{{{{namespace}}}}",
                json::quoted(template)
            ),
        );
    }
}

/// The template with a scheme in front, if it has none, and name and namespace filled in.
fn fill(template: &str, name: &str, namespace: &str) -> String {
    let has_scheme = ["http://", "https://"].iter().any(|scheme| {
        template
            .get(..scheme.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(scheme))
    });
    let scheme = if has_scheme { "" } else { "http://" };
    let filled = replace_ignoring_case(&format!("{scheme}{template}"), "{{name}}", name);
    replace_ignoring_case(&filled, "{{namespace}}", namespace)
}

fn replace_ignoring_case(text: &str, from: &str, to: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::new();
    let mut at = 0;
    while let Some(found) = lower.get(at..).and_then(|rest| rest.find(from)) {
        out.push_str(text.get(at..at + found).unwrap_or(""));
        out.push_str(to);
        at += found + from.len();
    }
    out.push_str(text.get(at..).unwrap_or(""));
    out
}

/// What the operator's URL parser objects to: brackets that hold no IPv6 address, and ports that are no numbers.
fn check_url(url: &str) -> Result<(), String> {
    let url = super::java::trim(url);
    let url = url.split('#').next().unwrap_or("");
    let rest = url.split_once("//").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or("");
    let host = match authority.split_once('@') {
        Some((_, host)) if host.contains('@') => return Ok(()), // not read as a host at all
        Some((_, host)) => host,
        None => authority,
    };
    let name = host.split([':', '%']).next().unwrap_or("");
    if name.chars().any(|c| c.is_ascii_control()) {
        return Err("the host holds a control character".to_owned());
    }
    let port = if let Some(literal) = host.strip_prefix('[') {
        let (address, after) = literal
            .split_once(']')
            .filter(|(address, _)| address.len() > 1)
            .ok_or_else(|| "a bracket is not closed".to_owned())?;
        let (plain, zone) = address.split_once('%').unwrap_or((address, "none"));
        if zone.is_empty() || zone.chars().any(|c| c.is_ascii_control()) {
            return Err(format!("{} names no zone", json::quoted(address)));
        }
        plain
            .parse::<Ipv6Addr>()
            .map_err(|_| format!("{} is no IPv6 address", json::quoted(address)))?;
        match after.strip_prefix(':') {
            Some(port) => port,
            None if after.is_empty() => "",
            None => return Err(format!("{} stands behind the address", json::quoted(after))),
        }
    } else {
        host.split_once(':').map_or("", |(_, port)| port)
    };
    match port.parse::<i32>() {
        _ if port.is_empty() => Ok(()),
        Ok(port) if port >= -1 => Ok(()),
        _ => Err(format!("the port {} is no number", json::quoted(port))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_that_make_urls() {
        for template in [
            "{{name}}.{{namespace}}.flink.k8s.io",
            "/{{NameSpace}}/{{Name}}(/|$)(.*)",
            "https://example.com:8443/x",
            "HTTPS://example.com",
            "example.com:",
            "",
            "example.com/a:b",
            "user:pw@example.com:80",
            "[::1]:80",
            "example.com:+80",
            "example.com?x:y",
        ] {
            assert_eq!(check_url(&fill(template, "n", "ns")), Ok(()), "{template}");
        }
    }

    #[test]
    fn templates_that_do_not() {
        for template in [
            "example.com:port",
            "example.com:80a",
            "example.com:-2",
            "example.com:99999999999",
            "a:b:c",
            "[::1",
            "[zz::1]",
            "[::1]x",
            "ftp://x:y",
            "mailto:someone",
        ] {
            let verdict = check_url(&fill(template, "n", "ns"));
            if template == "ftp://x:y" {
                assert_eq!(verdict, Ok(()), "the scheme is taken for a host");
            } else {
                assert!(verdict.is_err(), "{template}");
            }
        }
    }

    #[test]
    fn placeholders_are_filled_in_any_case() {
        assert_eq!(
            fill("{{NAME}}.{{nameSpace}}.x/{{name}}", "n", "ns"),
            "http://n.ns.x/n"
        );
    }
}
