//! `outrigger update NAME NEW.img`: hands a new image to a driver domain that runs, which restarts in place into it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use outrigger_update::{ACCEPTED, Header, IMAGE_MAX, Message, NODES};
use sha2::{Digest as _, Sha256};

use super::restart::{self, Restart};
use super::{Toolstack, cannot_run};
use crate::error::{Error, Fault};

/// Xen's own end of a libxenvchan (package `xen-utils`).
const PROXY: &str = "vchan-socket-proxy";
/// How long the domain is given to take the image.
const PATIENCE: Duration = Duration::from_secs(20);

/// Updates the domain, and waits until it serves again.
///
/// # Errors
/// The file is no image of a driver domain, the domain takes none or refuses this one (it goes on as it was), or it does
/// not restart in time.
pub fn update(dom0: Toolstack, name: &str, file: &Path, image: Vec<u8>) -> Result<Restart, Error> {
    let fault = |fault| Error {
        place: name.to_owned(),
        fault,
    };
    let unfit = |why: String| Error::at(file, Fault::Program(why));
    Header::read(&image).map_err(|why| unfit(why.to_owned()))?;
    if image.len() > IMAGE_MAX as usize {
        return Err(unfit(format!("{} bytes are more than {IMAGE_MAX}", image.len())));
    }
    let domid = dom0.domid(name)?;
    let nodes = format!("/local/domain/{domid}/{NODES}");
    if dom0.read(&format!("{nodes}/ring-ref"))?.is_none() {
        return Err(fault(Fault::NoUpdates));
    }
    let before = restart::count(dom0, domid)?;
    let answer = hand_over(domid, &nodes, image)?.ok_or_else(|| fault(Fault::NoAnswer))?;
    match answer.trim_end() {
        ACCEPTED => restart::wait(dom0, name, domid, before),
        refused => Err(fault(Fault::Program(refused.to_owned()))),
    }
}

/// Sends the image; the domain's answer, if there is one in time.
fn hand_over(domid: u32, nodes: &str, image: Vec<u8>) -> Result<Option<String>, Error> {
    let mut proxy = Command::new(PROXY)
        .args([&domid.to_string(), nodes, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| cannot_run(PROXY, &error))?;
    let (mut to, from) = (proxy.stdin.take(), proxy.stdout.take());
    let (sender, answer) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        if let Some(from) = from
            && BufReader::new(from)
                .read_line(&mut line)
                .is_ok_and(|read| read > 0)
        {
            let _ = sender.send(line);
        }
    });
    let message = Message {
        length: image.len() as u64,
        sha256: Sha256::digest(&image).into(),
    };
    // The stream stays open until there is an answer: the proxy ends with its input, and forgets what it has not passed on.
    let sending = thread::spawn(move || {
        if let Some(to) = &mut to {
            // If it has gone there will be no answer, which says enough.
            let _ = to.write_all(&message.bytes()).and_then(|()| to.write_all(&image));
        }
        to
    });
    let answer = answer.recv_timeout(PATIENCE).ok();
    let _ = proxy.kill();
    let _ = proxy.wait();
    let _ = sending.join();
    Ok(answer)
}
