//! Files, folders and standard input, as the documents they hold. What a document means is not decided here.

use crate::exit::Failure;
use crate::yaml::read::{ReadError, read_bytes};
use crate::yaml::{Content, Node, Position};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The largest file that is read, in bytes. An inventory of 10,000 objects has some 30 MB.
const MAX_BYTES: u64 = 256 << 20;

/// Standard input, as messages name it.
pub const STANDARD_INPUT: &str = "standard input";

/// One document of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file, as messages name it.
    pub file: Rc<str>,
    /// Its content.
    pub root: Node,
}

impl Document {
    /// A complaint about a place of this document.
    pub fn fault(&self, at: Position, message: impl std::fmt::Display) -> String {
        if at == Position::default() {
            return format!("{}: {message}", self.file);
        }
        format!("{}: {at}: {message}", self.file)
    }
}

/// How folders are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folders {
    /// The files in them.
    Flat,
    /// The same, where `-R` could be given and is not.
    FlatByDefault,
    /// Those of their folders too.
    Recursive,
}

impl Folders {
    /// As `-R` says it.
    pub fn with_flag(recursive: bool) -> Self {
        if recursive {
            Folders::Recursive
        } else {
            Folders::FlatByDefault
        }
    }
}

/// Reads everything: files, the `.yaml`, `.yml` and `.json` files of folders, and `-` for standard input, in the order
/// given, files of a folder by name. Lists (`kind: List`, `FlinkDeploymentList`) are taken apart.
///
/// A file without any object is an error, so that an empty pipe is never taken for a clean bill; only in folders are such
/// files left out, as a manifest may be commented out there.
pub fn read(paths: &[PathBuf], folders: Folders) -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut bytes = Vec::new();
            std::io::stdin()
                .lock()
                .take(MAX_BYTES + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| Failure::Input(format!("{STANDARD_INPUT}: {error}")))?;
            documents.extend(filled(parse(STANDARD_INPUT, &bytes)?, || {
                nothing_in(STANDARD_INPUT)
            })?);
        } else if path.is_dir() {
            let name = path.display().to_string();
            let mut all = Vec::new();
            for file in files_of(path, folders)? {
                all.extend(parse_file(&file)?);
            }
            documents.extend(filled(all, || nothing_in_folder(&name, folders))?);
        } else {
            let name = path.display().to_string();
            documents.extend(filled(parse_file(path)?, || nothing_in(&name))?);
        }
    }
    Ok(documents)
}

/// Refuses arguments that name standard input more than once: the second would read nothing.
pub fn standard_input_once<'p>(
    arguments: impl IntoIterator<Item = &'p Vec<PathBuf>>,
) -> Result<(), Failure> {
    let times = arguments
        .into_iter()
        .flatten()
        .filter(|path| path.as_os_str() == "-")
        .count();
    if times > 1 {
        return Err(Failure::Input(
            "\"-\" is given more than once; standard input can be read only once".to_owned(),
        ));
    }
    Ok(())
}

/// What was read with its lists taken apart, or what is to be said if it is nothing.
fn filled(
    documents: Vec<Document>,
    nothing: impl Fn() -> String,
) -> Result<Vec<Document>, Failure> {
    if documents.is_empty() {
        return Err(Failure::Input(nothing()));
    }
    Ok(documents.into_iter().flat_map(take_apart).collect())
}

fn nothing_in(file: &str) -> String {
    format!("{file}: line 1, column 1: there is no object in it; is this the right file?")
}

fn nothing_in_folder(folder: &str, folders: Folders) -> String {
    let whose = match folders {
        Folders::Flat => "this folder; is this the right folder?",
        Folders::FlatByDefault => "this folder; -R reads the folders in it too",
        Folders::Recursive => "this folder and the folders in it; is this the right folder?",
    };
    format!("{folder}: there is no object in the .yaml, .yml and .json files of {whose}")
}

fn files_of(folder: &Path, folders: Folders) -> Result<Vec<PathBuf>, Failure> {
    let fault = |error: std::io::Error| Failure::Input(format!("{}: {error}", folder.display()));
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        entries.push(entry.map_err(fault)?.path());
    }
    entries.sort();
    let mut files = Vec::new();
    for path in entries {
        if path.is_dir() {
            // A link to a folder could lead round in circles.
            if folders == Folders::Recursive && !path.is_symlink() {
                files.extend(files_of(&path, folders)?);
            }
        } else if path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
        {
            files.push(path);
        }
    }
    Ok(files)
}

fn parse_file(path: &Path) -> Result<Vec<Document>, Failure> {
    let name = path.display().to_string();
    let fault = |error: std::io::Error| Failure::Input(format!("{name}: {error}"));
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .map_err(fault)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(fault)?;
    parse(&name, &bytes)
}

/// The documents of a file's content.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Vec<Document>, Failure> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::Input(format!(
            "{name}: larger than {} MiB; split it",
            MAX_BYTES >> 20
        )));
    }
    let roots = read_bytes(bytes)
        .map_err(|ReadError { at, message }| Failure::Input(format!("{name}: {at}: {message}")))?;
    let file: Rc<str> = Rc::from(name);
    let documents: Vec<Document> = roots
        .into_iter()
        .map(|root| Document {
            file: file.clone(),
            root,
        })
        .collect();
    for document in &documents {
        if document.root.entries().is_none() {
            let what = document.root.type_name();
            let message = document.fault(
                document.root.at,
                format!("expected an object (apiVersion, kind, ...), found {what}"),
            );
            return Err(Failure::Input(message));
        }
    }
    Ok(documents)
}

/// The items of a list, or the document itself.
fn take_apart(mut document: Document) -> Vec<Document> {
    let is_list = document
        .root
        .get("kind")
        .and_then(Node::as_text)
        .is_some_and(|kind| kind.ends_with("List"));
    match document.root.take("items") {
        Some(Node {
            content: Content::List(items),
            ..
        }) if is_list => items
            .into_iter()
            .map(|root| Document {
                file: document.file.clone(),
                root,
            })
            .collect(),
        Some(items) => {
            document.root.set("items", items);
            vec![document]
        }
        None => vec![document],
    }
}
