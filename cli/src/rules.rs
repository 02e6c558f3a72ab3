//! `sluice rules` and `sluice explain ID`: what each refusal is called and what to do about it.

use crate::exit::{Failure, Outcome};
use clap::{Args, ValueEnum};
use serde_json::json;
use sluice_policy::rule::{Family, Rule};
use sluice_webhook::registration::guard;
use std::io::Write;

/// Arguments of `sluice rules`.
#[derive(Debug, Args)]
#[command(after_help = "Example: sluice rules -o json")]
pub struct RulesArgs {
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Arguments of `sluice explain`.
#[derive(Debug, Args)]
#[command(after_help = "Example: sluice explain quota/cpu")]
pub struct ExplainArgs {
    /// The rule's id, as it ends a refusal: quota/cpu
    id: String,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// One line a rule.
    #[default]
    Table,
    /// One array of objects.
    Json,
}

/// The rules of the decisions, those of the reviews that carry them, and those that the API server judges by itself.
pub(crate) fn rules() -> Vec<&'static Rule> {
    let mut all = sluice_policy::rule::rules();
    all.extend(sluice_webhook::review::rules::RULES);
    all.extend(guard::RULES);
    all.sort_by_key(|rule| rule.id);
    all
}

/// Prints every rule.
pub fn list(args: &RulesArgs) -> Result<Outcome, Failure> {
    let rules = rules();
    let mut out = std::io::stdout().lock();
    match args.output {
        Format::Json => {
            let all: Vec<_> = rules.iter().copied().map(as_json).collect();
            serde_json::to_writer_pretty(&mut out, &all).map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
        Format::Table => {
            let width = rules
                .iter()
                .map(|rule| rule.id.len())
                .max()
                .unwrap_or(0)
                .max(4);
            writeln!(
                out,
                "{:width$}  CODE  MODE LABEL               SUMMARY",
                "RULE"
            )?;
            for rule in rules {
                let (id, code, label) = (rule.id, rule.code.number(), label(rule.family));
                writeln!(out, "{id:width$}  {code}   {label:<24}  {}", rule.summary)?;
            }
        }
    }
    Ok(Outcome::Fine)
}

/// Explains one rule.
pub fn explain(args: &ExplainArgs) -> Result<Outcome, Failure> {
    let wanted = args.id.trim().trim_start_matches('[').trim_end_matches(']');
    let rules = rules();
    let Some(rule) = rules
        .iter()
        .find(|rule| rule.id.eq_ignore_ascii_case(wanted))
    else {
        return Err(Failure::Input(unknown(wanted, &rules)));
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}: {}\n", rule.id, rule.summary)?;
    writeln!(out, "{}\n", rule.explain)?;
    writeln!(out, "Code:   {} {}", rule.code.number(), rule.code.reason())?;
    writeln!(out, "Mode:   {}", label(rule.family))?;
    Ok(Outcome::Fine)
}

fn as_json(rule: &Rule) -> serde_json::Value {
    json!({
        "id": rule.id,
        "code": rule.code.number(),
        "reason": rule.code.reason(),
        "modeLabel": mode_label(rule.family),
        "summary": rule.summary,
        "explain": rule.explain,
        "source": rule.source,
    })
}

/// The namespace label that governs a family; `None`: always enforced.
fn mode_label(family: Family) -> Option<&'static str> {
    match family {
        Family::Validation => None,
        Family::Immutability => Some("sluice.dev/immutability"),
        Family::Quota => Some("sluice.dev/quota"),
        Family::Defaults => Some("sluice.dev/defaults"),
    }
}

fn label(family: Family) -> &'static str {
    mode_label(family).unwrap_or("always enforced")
}

fn unknown(wanted: &str, rules: &[&'static Rule]) -> String {
    let wanted = wanted.trim_end_matches('/');
    let ids: Vec<&str> = rules.iter().map(|rule| rule.id).collect();
    let family: Vec<&str> = ids
        .iter()
        .copied()
        .filter(|id| split(id).0.eq_ignore_ascii_case(wanted))
        .collect();
    let found = if wanted.is_empty() {
        String::new()
    } else if !family.is_empty() {
        format!(" those of {wanted} are {};", family.join(", "))
    } else {
        match nearest(wanted, &ids).as_slice() {
            [] => String::new(),
            near => format!(" did you mean {}?", near.join(" or ")),
        }
    };
    format!("there is no rule \"{wanted}\";{found} `sluice rules` lists all of them")
}

/// The rules that were meant most likely; several where nothing tells them apart. The name alone may be near; which of the rules of that
/// name it is, the family tells.
fn nearest<'r>(wanted: &str, ids: &[&'r str]) -> Vec<&'r str> {
    let (family, name) = split(wanted);
    let far = |id: &str| {
        let (of, last) = split(id);
        let near = distance(wanted, id).min(distance(name, last) + 1);
        let shorter = wanted.len().min(id.len());
        (near <= shorter / 2).then(|| {
            let begins = of
                .get(..family.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(family));
            (near, if begins { 0 } else { distance(family, of) })
        })
    };
    let Some(least) = ids.iter().filter_map(|id| far(id)).min() else {
        return Vec::new();
    };
    let all = ids.iter().copied();
    all.filter(|id| far(id) == Some(least)).collect()
}

/// The family and the name of a rule; a word alone is a name.
fn split(id: &str) -> (&str, &str) {
    id.rsplit_once('/').unwrap_or(("", id))
}

/// Levenshtein's distance in characters, case ignored. Long words are cut: only near misses matter.
pub(crate) fn distance(one: &str, other: &str) -> usize {
    let fold = |text: &str| {
        text.chars()
            .take(64)
            .map(|c| c.to_ascii_lowercase())
            .collect::<Vec<_>>()
    };
    let (one, other) = (fold(one), fold(other));
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (b, above) in other.iter().zip(row.iter().skip(1)) {
            let cost = (diagonal + usize::from(a != b))
                .min(above + 1)
                .min(left + 1);
            diagonal = *above;
            left = cost;
            next.push(cost);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("", ""), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("quota/cpu", "QUOTA/CPU"), 0);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
