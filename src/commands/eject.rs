//! `bootstrap eject`: the embedded stack as files.

use std::fs;

use anyhow::Context as _;

use crate::cli::Eject;
use crate::error::{Error, Exit};
use crate::report::Printer;
use crate::stack::Files;

pub(super) fn run(options: &Eject, printer: &Printer) -> anyhow::Result<Exit> {
    let folder = &options.dir;
    let shown = folder.display();
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::new(Exit::Usage, format!("{shown} is not empty; nothing was written"))
            .hint(format!("bootstrap eject {shown}/stack"))
            .into());
    }
    let files = Files::all_embedded();
    for (path, text) in files {
        let file = folder.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).with_context(|| format!("failed to make {}", parent.display()))?;
        }
        fs::write(&file, text).with_context(|| format!("failed to write {}", file.display()))?;
    }
    printer
        .say(&format!("wrote {} files to {shown}; use them with: bootstrap up --stack {shown}", files.len()));
    Ok(Exit::Success)
}
