use std::io::{self, Error, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bootstrap::error::{self, Exit};
use bootstrap::report::Printer;
use insta::assert_snapshot;

use crate::script;

/// A stream that takes nothing.
struct Refusing(ErrorKind, Arc<AtomicU32>);

impl Write for Refusing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Err(Error::from(self.0))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_went_away_is_no_error_and_asked_only_once() {
    let asked = Arc::new(AtomicU32::new(0));
    let printer = Printer::to(Refusing(ErrorKind::BrokenPipe, asked.clone()), io::sink());
    assert!(printer.data("first\n").is_ok());
    assert!(printer.clone().data("second\n").is_ok());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn a_full_disk_is_an_error() {
    let printer = Printer::to(Refusing(ErrorKind::StorageFull, Arc::default()), io::sink());
    assert_eq!(printer.data("text\n").expect_err("the disk is full").kind(), ErrorKind::StorageFull);
}

#[test]
fn an_error_shows_its_causes_and_its_hint() {
    let (printer, _, stderr) = script::printer();
    let cause = error::Error::new(Exit::Unexpected, "the server did not answer")
        .because(Error::new(ErrorKind::ConnectionRefused, "connection refused"));
    printer.error(
        &error::Error::new(Exit::Preflight, "failed to reach the cluster k3d-blog")
            .because(cause)
            .hint("k3d cluster start blog"),
    );
    assert_snapshot!(stderr.text(), @"
    error: failed to reach the cluster k3d-blog
      caused by: the server did not answer
      caused by: connection refused

    hint: k3d cluster start blog
    ");
}
