//! The rules, as `sluice rules -o json` tells them.

use crate::cell;
use serde_json::Value;
use std::fmt::Write;
use std::process::Command;

pub fn page() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["rules", "-o", "json"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let rules: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let mut page = "# Rules\n\nEvery refusal ends in the id of a rule. `sluice rules` lists them, `sluice explain ID` prints what stands here. \
                    Where a mode label is named, a namespace may soften the rule: [how](../how-to/soften.md).\n"
        .to_owned();
    let mut family = "";
    for rule in &rules {
        let text = |key: &str| rule[key].as_str().unwrap_or_default();
        let (this, _) = text("id").split_once('/').unwrap();
        if this != family {
            family = this;
            write!(page, "\n## {family}\n").unwrap();
        }
        let mode = match text("modeLabel") {
            "" => "always enforced".to_owned(),
            label => format!("mode label `{label}`"),
        };
        write!(
            page,
            "\n### `{}`\n\n{}. {} Code {} {}, {mode}.\n",
            text("id"),
            cell(text("summary").trim_end_matches('.')),
            cell(text("explain")),
            rule["code"],
            text("reason"),
        )
        .unwrap();
    }
    page
}
