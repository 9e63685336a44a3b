//! The stream, and what comes over it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::mem;
use core::time::Duration;

use outrigger_ring::SharedPages;
use outrigger_vchan::{Broken, Client, FROM_CLIENT, Server};
use outrigger_xen::{EventChannels, Instant, Port};
use sha2::{Digest, Sha256};

use crate::{Header, IMAGE_MAX, MESSAGE_BYTES, Message};

/// The nodes of the stream, in the domain's own XenStore directory: `ring-ref` and `event-channel` below it.
pub const NODES: &str = "data/update";
/// What the client gets for an image that is taken. The restart follows.
pub const ACCEPTED: &str = "accepted";

/// How long a client is waited for that does not read its answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Receives new images. Its event channel port is told of by [`Update::port`].
pub struct Update<P> {
    server: Server<P>,
    port: Port,
    class: &'static str,
    survivors: u32,
    stage: RefCell<Stage>,
}

enum Stage {
    /// The message, as far as it has come.
    Message(Vec<u8>),
    /// The image, as far as it has come, and the hash of that: all at once would keep the data path waiting.
    Image(Message, Vec<u8>, Sha256),
    /// Refused: whatever else comes is not looked at.
    Refused,
    /// Taken: the restart waits for the client to have read so, or for this moment.
    Taken(Vec<u8>, Instant),
}

impl<P: SharedPages> Update<P> {
    /// For images of `class` whose survivors have the version `survivors`. `page` is granted to Dom0, and `port` is one that
    /// Dom0 may bind to.
    pub fn new(page: P, port: Port, class: &'static str, survivors: u32) -> Self {
        Self {
            server: Server::new(page),
            port,
            class,
            survivors,
            stage: RefCell::new(Stage::Message(Vec::new())),
        }
    }

    /// The port whose events [`turn`](Self::turn) is for.
    pub fn port(&self) -> Port {
        self.port
    }

    /// When [`turn`](Self::turn) is to be called although nothing has happened.
    pub fn deadline(&self) -> Option<Instant> {
        match *self.stage.borrow() {
            Stage::Taken(_, moment) => Some(moment),
            _ => None,
        }
    }

    /// Moves what there is to move. An image comes out when it is time to restart into it: it has been looked at.
    pub fn turn(&self, events: &impl EventChannels, now: Instant) -> Option<Vec<u8>> {
        let mut stage = self.stage.borrow_mut();
        if let Stage::Taken(image, moment) = &mut *stage {
            let heard = self.server.client() != Client::Here || self.server.on_the_way() == Ok(0);
            return (heard || *moment <= now).then(|| mem::take(image));
        }
        match self.server.client() {
            Client::Awaited => return None,
            Client::Gone => {
                *stage = Stage::Message(Vec::new());
                self.server.open();
                return None;
            }
            Client::Here => {}
        }
        let mut bytes = [0; FROM_CLIENT];
        let answer = match self.server.read(&mut bytes) {
            Ok(0) => return None,
            Ok(count) => self.take(&mut stage, &bytes[..count], now),
            Err(Broken) => {
                *stage = Stage::Refused;
                self.server.close();
                None
            }
        };
        if let Some(answer) = answer {
            log::info!("update: {}", answer.trim_end());
            // A client that leaves no room for a line does not want to hear it.
            let _ = self.server.write(answer.as_bytes());
        }
        events.notify(self.port);
        None
    }

    /// Takes bytes of the stream; the answer, if there is one now.
    fn take(&self, stage: &mut Stage, mut bytes: &[u8], now: Instant) -> Option<String> {
        if let Stage::Message(message) = stage {
            let (of_it, rest) = bytes.split_at(bytes.len().min(MESSAGE_BYTES - message.len()));
            message.extend_from_slice(of_it);
            bytes = rest;
            if message.len() < MESSAGE_BYTES {
                return None;
            }
            match begin(message) {
                Ok((message, image)) => *stage = Stage::Image(message, image, Sha256::new()),
                Err(why) => return Some(refuse(stage, &why)),
            }
        }
        let Stage::Image(message, image, hash) = stage else {
            return None;
        };
        let wanted = message.length as usize - image.len();
        // Room for all of it was made.
        let bytes = &bytes[..bytes.len().min(wanted)];
        image.extend_from_slice(bytes);
        hash.update(bytes);
        if image.len() < message.length as usize {
            return None;
        }
        match self.judge(message, image, mem::take(hash)) {
            Ok(()) => {
                *stage = Stage::Taken(mem::take(image), now.after(PATIENCE));
                Some(format!("{ACCEPTED}\n"))
            }
            Err(why) => Some(refuse(stage, &why)),
        }
    }

    /// Whether a complete image may take this one's place.
    fn judge(&self, message: &Message, image: &[u8], hash: Sha256) -> Result<(), String> {
        if hash.finalize()[..] != message.sha256 {
            return Err("its SHA-256 is not the one that was announced".into());
        }
        let header = Header::read(image).map_err(String::from)?;
        if header.class != self.class {
            let class: String = header.class.escape_default().collect();
            return Err(format!("its class is {class}, this is {}", self.class));
        }
        if header.survivors != self.survivors {
            return Err(format!(
                "it keeps survivors of version {}, here they are of version {}: create the domain anew",
                header.survivors, self.survivors
            ));
        }
        Ok(())
    }
}

/// Makes room for the image that a message announces.
fn begin(message: &[u8]) -> Result<(Message, Vec<u8>), String> {
    let message = message
        .first_chunk()
        .and_then(Message::read)
        .ok_or("it is no update")?;
    if message.length > u64::from(IMAGE_MAX) {
        return Err(format!("{} bytes are more than {IMAGE_MAX}", message.length));
    }
    let mut image = Vec::new();
    if image.try_reserve_exact(message.length as usize).is_err() {
        return Err(format!("there is no memory for {} bytes", message.length));
    }
    Ok((message, image))
}

fn refuse(stage: &mut Stage, why: &str) -> String {
    *stage = Stage::Refused;
    format!("refused: {why}\n")
}
