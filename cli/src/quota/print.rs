//! Quotas for people and for programs.

use super::Format;
use super::view::Quota;
use crate::exit::Failure;
use crate::table;
use crate::yaml::{Node, write};
use serde_json::{Value, json};
use sluice_policy::ledger::{Account, QuotaKey};
use std::io::Write;

/// Writes to standard output, at once.
pub(super) fn out(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// All of it in one of the formats. `unseen` are the kinds of quotas that could not be read.
pub(super) fn view(
    quotas: &[Quota],
    namespace: Option<&str>,
    unseen: &[&str],
    format: Format,
) -> Result<String, Failure> {
    let mut text = Vec::new();
    match format {
        Format::Json | Format::Yaml => {
            let all: Vec<Value> = quotas.iter().map(element).collect();
            return Ok(structured(&Value::from(all), format));
        }
        Format::Table | Format::Wide if quotas.is_empty() => {
            let place = namespace.map_or_else(
                || "in any namespace".to_owned(),
                |namespace| format!("for namespace {namespace}"),
            );
            if unseen.is_empty() {
                writeln!(
                    text,
                    "There is no quota {place}: CPU is not limited. kubectl explain cpuquota.spec"
                )?;
            } else {
                writeln!(
                    text,
                    "There is no quota that you may see {place}. Whether CPU is limited is not known: you may not list {}",
                    unseen.join(", ")
                )?;
            }
        }
        Format::Table | Format::Wide => tables(&mut text, quotas, format == Format::Wide)?,
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A document for programs.
pub(super) fn structured(value: &Value, format: Format) -> String {
    if format == Format::Yaml {
        write::write(&Node::from(value))
    } else {
        format!("{value:#}\n")
    }
}

/// `CpuQuota team-a/default`, without the quotes that refusals have.
pub(super) fn name(key: &QuotaKey) -> String {
    key.to_string().replace('"', "")
}

fn tables(out: &mut Vec<u8>, quotas: &[Quota], wide: bool) -> std::io::Result<()> {
    let mut headings = vec!["QUOTA", "LIMIT", "USED", "RESERVED", "FREE", "STATE"];
    if wide {
        headings.push("ON GROWTH");
    }
    let rows: Vec<Vec<String>> = quotas
        .iter()
        .map(|quota| {
            let figure = |of: &dyn Fn(&Account) -> String| {
                quota.account.as_ref().map_or_else(|_| "-".to_owned(), of)
            };
            let mut row = vec![
                name(&quota.key),
                figure(&|account| account.hard.to_string()),
                figure(&|account| account.book.confirmed.to_string()),
                figure(&|account| account.book.reserved().to_string()),
                figure(&|account| account.hard.minus(account.book.usage()).to_string()),
                quota.state(),
            ];
            if wide {
                row.push(quota.on_growth().to_owned());
            }
            row
        })
        .collect();
    table::write(out, &headings, &rows)?;
    let mut held: Vec<Vec<String>> = Vec::new();
    for quota in quotas {
        for holder in &quota.holders {
            held.push(vec![
                name(&quota.key),
                format!("{} {}/{}", holder.kind, holder.namespace, holder.name),
                holder.charge.to_string(),
            ]);
        }
        let elsewhere = quota.elsewhere();
        if elsewhere.0 > 0 {
            held.push(vec![
                name(&quota.key),
                "others, not seen here".to_owned(),
                elsewhere.to_string(),
            ]);
        }
    }
    if !held.is_empty() {
        writeln!(out)?;
        table::write(out, &["QUOTA", "HELD BY", "CPU"], &held)?;
    }
    if wide {
        let pending: Vec<Vec<String>> = quotas
            .iter()
            .filter_map(|quota| Some((quota, quota.account.as_ref().ok()?)))
            .flat_map(|(quota, account)| {
                account.book.pending.iter().map(|hold| {
                    let object = &hold.object;
                    vec![
                        name(&quota.key),
                        format!("{} {}/{}", object.resource, object.namespace, object.name),
                        format!("{} to {}", hold.from, hold.to),
                        hold.by.clone(),
                    ]
                })
            })
            .collect();
        if !pending.is_empty() {
            writeln!(out)?;
            table::write(out, &["QUOTA", "RESERVED FOR", "CPU", "ASKED BY"], &pending)?;
        }
    }
    Ok(())
}

/// Kind, namespace and name of a quota, for programs.
pub(super) fn identity(key: &QuotaKey) -> Value {
    match key {
        QuotaKey::Cluster { name } => json!({"kind": "ClusterCpuQuota", "name": name}),
        QuotaKey::Namespaced { namespace, name } => {
            json!({"kind": "CpuQuota", "namespace": namespace, "name": name})
        }
    }
}

fn element(quota: &Quota) -> Value {
    let mut element = identity(&quota.key);
    let Some(map) = element.as_object_mut() else {
        return element;
    };
    if let Ok(account) = &quota.account {
        let book = &account.book;
        map.insert("hardMilli".to_owned(), json!(account.hard.0));
        map.insert("usedMilli".to_owned(), json!(book.confirmed.0));
        map.insert("reservedMilli".to_owned(), json!(book.reserved().0));
        map.insert(
            "freeMilli".to_owned(),
            json!(account.hard.minus(book.usage()).0),
        );
        let pending: Vec<String> = book.pending.iter().map(ToString::to_string).collect();
        map.insert("pending".to_owned(), json!(pending));
    }
    map.insert("onGrowth".to_owned(), json!(quota.on_growth()));
    map.insert("state".to_owned(), json!(quota.state()));
    let holders: Vec<Value> = quota
        .holders
        .iter()
        .map(|holder| {
            json!({"kind": holder.kind, "namespace": holder.namespace, "name": holder.name, "chargeMilli": holder.charge.0})
        })
        .collect();
    map.insert("holders".to_owned(), json!(holders));
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_read_is_not_called_unlimited() {
        let shown =
            |namespace, unseen: &[&str]| view(&[], namespace, unseen, Format::Table).unwrap();
        assert_eq!(
            shown(Some("team-a"), &[]),
            "There is no quota for namespace team-a: CPU is not limited. kubectl explain cpuquota.spec\n"
        );
        assert_eq!(
            shown(Some("team-a"), &["clustercpuquotas"]),
            "There is no quota that you may see for namespace team-a. Whether CPU is limited is not known: you may not list \
             clustercpuquotas\n"
        );
        assert!(
            shown(None, &["clustercpuquotas"])
                .starts_with("There is no quota that you may see in any namespace. ")
        );
    }
}
