//! Says when the API server does not answer, and when it does again: otherwise it would look as if nothing went on.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::cluster::{Cluster, Contact};
use crate::event::{Events, Kind};

/// How long a server may be silent before that is worth a word.
const UNREMARKABLE: Duration = Duration::from_secs(3);

/// Tells of outages for as long as it is let.
pub(crate) async fn tell(cluster: &Cluster, events: &Events) -> Infallible {
    let mut contact = cluster.contact();
    while contact.wait_for(|contact| contact.silence().is_some()).await.is_ok() {
        let began = Instant::now();
        let is_over = |contact: &Contact| contact.silence().is_none();
        if timeout(UNREMARKABLE, contact.wait_for(is_over)).await.is_ok() {
            continue;
        }
        let why = contact.borrow().silence().unwrap_or_default().to_owned();
        events.send(Kind::Waiting { what: format!("the API server to answer ({why})") });
        let _ = contact.wait_for(is_over).await;
        let seconds = began.elapsed().as_secs_f32();
        events.send(Kind::Warning { message: format!("the API server did not answer for {seconds:.0} s") });
    }
    // Not reached: the cluster holds the other end.
    pending().await
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::UnboundedReceiver;
    use tokio::time::sleep;

    use super::*;
    use crate::cluster::server::Server;
    use crate::event::Event;
    use crate::object;

    /// What is said of a server that is away for so long.
    async fn said(away: Duration) -> Vec<String> {
        let (cluster, mut server) = Server::start();
        let (sender, mut events) = Events::channel();
        let mended = Instant::now() + away;
        let kind = object::NODE.gvk();
        let run = async {
            cluster.list(&kind, None, None).await.expect("nodes");
            sleep(Duration::from_secs(1)).await;
        };
        let answering = async {
            loop {
                let asked = server.next().await;
                if Instant::now() < mended { asked.fail("Connection refused") } else { asked.with(&[]) }
            }
        };
        tokio::select! {
            biased;
            () = run => {}
            never = tell(&cluster, &sender) => match never {},
            () = answering => unreachable!("it answers for ever"),
        }
        lines(&mut events)
    }

    fn lines(events: &mut UnboundedReceiver<Event>) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(event) = events.try_recv() {
            match event.kind {
                Kind::Waiting { what } => lines.push(format!("waiting for {what}")),
                Kind::Warning { message } => lines.push(format!("warning: {message}")),
                _ => {}
            }
        }
        lines
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_said_when_it_lasts_and_when_it_is_over() {
        assert_eq!(
            said(Duration::from_secs(20)).await,
            [
                "waiting for the API server to answer (Connection refused)",
                "warning: the API server did not answer for 20 s",
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_is_not_worth_a_word() {
        assert_eq!(said(Duration::from_secs(2)).await, Vec::<String>::new());
    }
}
