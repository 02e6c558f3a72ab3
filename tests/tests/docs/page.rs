//! A page and what it asks to be done. Blocks of `console` hold commands (`$ `, continued by `> `) and what they print, blocks of
//! `sh` commands whose output does not matter but which must succeed. A comment right above a block says what else it is:
//!
//! * `<!-- file: NAME -->`: the block is saved under that name first, whatever its language.
//! * `<!-- in the foreground -->`: the command stays in the foreground of a terminal of its own; it can only be `sluice up`.
//! * `<!-- soon -->`: commands that only look are repeated until they print this, since somebody else is at work.
//! * `<!-- run by FILE: FUNCTION -->` (several with commas): not run here, but by these tests, which must exist.
//!
//! In an output `…` stands for what differs from run to run: a part of a line, or, alone in its line, any number of lines. In a
//! command `/tmp/sluice-…` is the folder that `sluice up` names.

use std::ops::Range;
use std::path::Path;

pub struct Page {
    /// From the repository's root.
    pub file: String,
    pub text: String,
    pub items: Vec<Item>,
    /// What is wrong with the page itself.
    pub faults: Vec<String>,
}

pub enum Item {
    File { name: String, text: String },
    Foreground(Command),
    Run { commands: Vec<Command>, how: How },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The output is as shown.
    Once,
    /// The output becomes as shown.
    Soon,
    /// It succeeds.
    Silent,
}

pub struct Command {
    /// What is given to the shell.
    pub line: String,
    /// What the page shows.
    pub output: String,
    /// Where that stands in the page's text.
    pub place: Range<usize>,
    /// For messages.
    pub at: String,
}

struct Block {
    language: String,
    marker: Option<String>,
    body: Range<usize>,
    line: usize,
}

impl Page {
    pub fn read(root: &Path, file: &str) -> Self {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let mut page = Self {
            file: file.to_owned(),
            items: Vec::new(),
            faults: Vec::new(),
            text,
        };
        for block in blocks(&page.text) {
            page.take(root, &block);
        }
        page
    }

    fn take(&mut self, root: &Path, block: &Block) {
        let body = self.text[block.body.clone()].to_owned();
        let at = format!("{}:{}", self.file, block.line);
        let marker = block.marker.as_deref();
        if let Some(name) = marker.and_then(|text| text.strip_prefix("file: ")) {
            self.items.push(Item::File {
                name: name.to_owned(),
                text: body,
            });
            return;
        }
        let shows_commands = body.lines().any(|line| line.starts_with("$ "));
        let is_session = block.language == "console" || (shows_commands && block.language != "sh");
        if !is_session && !["sh", "bash", "shell"].contains(&block.language.as_str()) {
            return;
        }
        if let Some(tests) = marker.and_then(|text| text.strip_prefix("run by ")) {
            for test in tests.split(", ") {
                let found = test.split_once(": ").is_some_and(|(file, function)| {
                    std::fs::read_to_string(root.join(file))
                        .is_ok_and(|source| source.contains(&format!("fn {function}(")))
                });
                if !found {
                    self.faults.push(format!("{at}: there is no test {test}"));
                }
            }
            return;
        }
        let commands = if is_session {
            session(&body, block.body.start, &at)
        } else {
            script(&body, block.body.end, &at)
        };
        if commands.is_empty() {
            self.faults.push(format!("{at}: there is no command in it"));
            return;
        }
        let how = match marker {
            Some("soon") => How::Soon,
            _ if !is_session => How::Silent,
            _ => How::Once,
        };
        if marker == Some("in the foreground") {
            self.items
                .extend(commands.into_iter().map(Item::Foreground));
        } else {
            self.items.push(Item::Run { commands, how });
        }
    }
}

/// Fenced blocks, with the comment above each.
fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    let mut marker = None;
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        match &mut open {
            Some(block) if bare == "```" => {
                block.body.end = offset;
                found.extend(open.take());
            }
            Some(_) => {}
            None => {
                if let Some(language) = bare.strip_prefix("```") {
                    let start = offset + line.len();
                    open = Some(Block {
                        language: language.to_owned(),
                        marker: marker.take(),
                        body: start..start,
                        line: number + 1,
                    });
                } else if let Some(comment) = bare.strip_prefix("<!-- ") {
                    marker = comment.strip_suffix(" -->").map(str::to_owned);
                } else if !bare.is_empty() {
                    marker = None;
                }
            }
        }
        offset += line.len();
    }
    found
}

fn session(body: &str, start: usize, at: &str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    let mut offset = start;
    for line in body.split_inclusive('\n') {
        let next = offset + line.len();
        if let Some(typed) = line.strip_prefix("$ ") {
            commands.push(Command {
                line: typed.trim_end().to_owned(),
                output: String::new(),
                place: next..next,
                at: format!("{at}: {}", typed.trim_end()),
            });
        } else if let Some(command) = commands.last_mut() {
            match line.strip_prefix("> ") {
                Some(more) if command.output.is_empty() => {
                    command.line.push('\n');
                    command.line.push_str(more.trim_end());
                    command.place = next..next;
                }
                _ => {
                    command.output.push_str(line);
                    command.place.end = next;
                }
            }
        }
        offset = next;
    }
    commands
}

/// A line a command; comments behind it are the shell's.
fn script(body: &str, end: usize, at: &str) -> Vec<Command> {
    body.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| Command {
            line: line.to_owned(),
            output: String::new(),
            place: end..end,
            at: format!("{at}: {line}"),
        })
        .collect()
}
