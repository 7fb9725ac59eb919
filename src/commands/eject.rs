//! `bootstrap eject`: the embedded stack as files.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;

use crate::cli::{Common, Eject};
use crate::error::{Error, Exit};
use crate::report::Printer;
use crate::stack::Files;

pub(super) fn run(common: &Common, options: &Eject, printer: &Printer) -> anyhow::Result<Exit> {
    let folder = &options.dir;
    let shown = folder.display();
    check(folder)?;
    let files = Files::all_embedded();
    for (path, text) in files {
        let file = folder.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).with_context(|| format!("failed to make {}", parent.display()))?;
        }
        fs::write(&file, text).with_context(|| format!("failed to write {}", file.display()))?;
    }
    if !common.quiet {
        let count = files.len();
        printer.say(&format!("wrote {count} files to {shown}; use them with: bootstrap up --stack {shown}"));
    }
    Ok(Exit::Success)
}

/// Finds out that nothing is in the way: the folder is empty, or can be made.
fn check(folder: &Path) -> Result<(), Error> {
    let shown = folder.display();
    let refused = |why: String| Error::new(Exit::Usage, format!("{why}; nothing was written"));
    match folder.read_dir().map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(refused(format!("{shown} is not empty")).hint(format!("bootstrap eject {shown}/stack")))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let file = folder.ancestors().find(|path| path.is_file()).unwrap_or(folder);
            Err(refused(format!("failed to open the folder {}", file.display())).because(error))
        }
    }
}
