//! Somebody who does what the pages say, and compares.

use crate::page::{Command, How, Item, Page};
use crate::shell::Shell;
use crate::{compare, root};
use sluice_tests::{Gate, sluice_binary};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The folder of `sluice up`, as pages write it.
const FOLDER: &str = "/tmp/sluice-…";
/// JVMs start meanwhile where a page has a node.
const SOON: Duration = Duration::from_mins(3);

pub struct Reader {
    gate: Option<Gate>,
    folder: TempDir,
    faults: Vec<String>,
    /// What pages should show instead, by file: places from the last to the first.
    updates: BTreeMap<String, Vec<(std::ops::Range<usize>, String)>>,
}

impl Reader {
    pub fn new() -> Self {
        Self {
            gate: None,
            folder: tempfile::Builder::new()
                .prefix("sluice-docs-")
                .tempdir()
                .unwrap(),
            faults: Vec::new(),
            updates: BTreeMap::new(),
        }
    }

    /// Does what a page says.
    pub fn read(&mut self, page: &Page) {
        if page.items.is_empty() {
            return;
        }
        let began = Instant::now();
        let folder = self.folder.path().join(page.file.replace('/', "-"));
        std::fs::create_dir(&folder).unwrap();
        // Commands may begin in a clone of the repository.
        std::os::unix::fs::symlink(root().join("docs"), folder.join("docs")).unwrap();
        let mut shell = Shell::start(&folder, &self.path());
        // What readers of other pages have typed into their terminals once.
        if let Some(gate) = &self.gate {
            let kubeconfig = gate.kubeconfig().display();
            let (code, out) = shell.run(&format!("export KUBECONFIG={kubeconfig}"));
            assert_eq!(code, 0, "{out}");
        }
        for item in &page.items {
            match item {
                Item::File { name, text } => write(&folder, name, text),
                Item::Foreground(command) => self.start(page, command),
                Item::Run { commands, how } => {
                    for command in commands {
                        self.run(page, &mut shell, command, *how);
                    }
                }
            }
        }
        eprintln!("{}: {:.1} s", page.file, began.elapsed().as_secs_f64());
    }

    /// Takes the control plane down; everything must have been as shown.
    pub fn end(mut self) {
        if let Some(gate) = self.gate.take() {
            assert_eq!(gate.down().unwrap(), Some(0), "sluice up ends well");
        }
        if updating() {
            for (file, mut updates) in std::mem::take(&mut self.updates) {
                let path = root().join(&file);
                let mut text = std::fs::read_to_string(&path).unwrap();
                updates.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
                for (place, instead) in updates {
                    text.replace_range(place, &instead);
                }
                std::fs::write(path, text).unwrap();
            }
        }
        assert!(
            self.faults.is_empty(),
            "not as shown (SLUICE_UPDATE_DOCS=1 writes what was printed into the pages):\n\n{}",
            self.faults.join("\n\n")
        );
    }

    fn start(&mut self, page: &Page, command: &Command) {
        let mut words: Vec<&str> = command.line.split_whitespace().collect();
        if words.first() == Some(&"sudo") {
            words.remove(0);
        }
        assert_eq!(
            words[..2],
            ["sluice", "up"],
            "{}: only sluice up stays in the foreground",
            command.at
        );
        let gate = Gate::up(&words[2..]).unwrap();
        let log = gate.log().unwrap();
        self.gate = Some(gate);
        let printed = self.masked(&log);
        self.hold(page, command, &printed);
    }

    fn run(&mut self, page: &Page, shell: &mut Shell, command: &Command, how: How) {
        let line = match self.data() {
            Some(folder) => command.line.replace(FOLDER, &folder.display().to_string()),
            None => command.line.clone(),
        };
        let began = Instant::now();
        // Whoever writes a page shows nothing yet.
        let soon = if updating() {
            Duration::from_secs(3)
        } else {
            SOON
        };
        loop {
            let asked = Instant::now();
            let (code, printed) = shell.run(&line);
            if asked.elapsed() > Duration::from_secs(5) {
                eprintln!("{}: {:.1} s", command.at, asked.elapsed().as_secs_f64());
            }
            let printed = self.masked(&printed);
            match how {
                How::Silent => {
                    if code != 0 {
                        self.faults
                            .push(format!("{}\nended with {code}:\n{printed}", command.at));
                    }
                }
                How::Soon
                    if !compare::fits(&command.output, &printed) && began.elapsed() < soon =>
                {
                    std::thread::sleep(Duration::from_millis(200)); // between two looks at somebody else's work
                    continue;
                }
                How::Soon | How::Once => self.hold(page, command, &printed),
            }
            return;
        }
    }

    fn hold(&mut self, page: &Page, command: &Command, printed: &str) {
        if compare::fits(&command.output, printed) {
            return;
        }
        let merged = compare::merged(&command.output, printed);
        self.updates
            .entry(page.file.clone())
            .or_default()
            .push((command.place.clone(), merged));
        self.faults.push(format!(
            "{}\nshown:\n{}printed:\n{printed}",
            command.at, command.output
        ));
    }

    /// Where `sluice up` keeps its state.
    fn data(&self) -> Option<PathBuf> {
        Some(self.gate.as_ref()?.kubeconfig().parent()?.to_owned())
    }

    /// What names this machine's folders, as a page writes it.
    fn masked(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let (Some(data), Some(gate)) = (self.data(), &self.gate) {
            text = text.replace(&data.display().to_string(), FOLDER);
            text = text.replace(&gate.kubectl().binary().display().to_string(), "kubectl");
        }
        text.replace(&root().display().to_string(), "…/sluice")
    }

    /// The programs that a reader has: `sluice`, and the kubectl that came with the control plane.
    fn path(&self) -> String {
        let programs = self.folder.path().join("bin");
        if !programs.exists() {
            std::fs::create_dir(&programs).unwrap();
            std::os::unix::fs::symlink(sluice_binary().unwrap(), programs.join("sluice")).unwrap();
            std::os::unix::fs::symlink(sluice_tests::kubectl().unwrap(), programs.join("kubectl"))
                .unwrap();
        }
        let path = std::env::var("PATH").unwrap_or_default();
        format!("{}:{path}", programs.display())
    }
}

fn updating() -> bool {
    std::env::var_os("SLUICE_UPDATE_DOCS").is_some()
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
