//! Request heads, in any cut, beside tungstenite's handshake.

use hallway::limits::{Limits, REQUEST_BYTES_MAX};
use hallway::server::Server;
use hallway::wire::upgrade::{Request, head_len, parse};
use tungstenite::error::ProtocolError;
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request as TheirRequest, create_response};

use crate::house::House;
use crate::input::{Input, pieces};
use crate::stream;

/// Target `upgrade`. The first byte chooses the cuts; the rest is what a client sends.
pub fn upgrade(data: &[u8]) {
    let mut input = Input::new(data);
    let cut = input.byte();
    let bytes = input.rest();
    check_head_len(bytes);
    assert_eq!(answer(pieces(bytes, cut)), answer([bytes]), "the cut changes the answer");
    if let Ok(Some(len)) = head_len(bytes, 0)
        && let Ok(Request::Upgrade(upgrade)) = parse(&bytes[..len])
    {
        compare(&bytes[..len], &upgrade.accept);
    }
}

/// The end of the head is found whatever was looked at before; by that, dripping is linear.
fn check_head_len(bytes: &[u8]) {
    let whole = head_len(bytes, 0);
    let end = match &whole {
        Ok(Some(len)) => *len,
        _ => bytes.len().min(REQUEST_BYTES_MAX),
    };
    for had in 0..end {
        match head_len(&bytes[..=had], had) {
            Ok(None) => assert!(had + 1 < end || whole == Ok(None), "a blank line is overlooked"),
            early => return assert!(early == whole && (had + 1 == end || early.is_err())),
        }
    }
}

/// What the server writes to a client that sends this, and whether it is still connected.
fn answer<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<u8>, bool) {
    let limits = Limits::default();
    let mut house = House::new(Server::new(limits.clone()), &limits, 1);
    house.connect(0, usize::MAX);
    for piece in pieces {
        house.arrive(0, piece);
        house.turn();
    }
    let (is_open, socket) = match house.sockets.pop().flatten() {
        Some(socket) => (true, socket),
        None => (false, house.closed.pop().expect("one socket")),
    };
    let mut bytes = socket.stream;
    // What follows a handshake is the business of the peer's target.
    if let Some(answer) = stream::read(&bytes, true)
        && answer.status == 101
    {
        bytes.truncate(answer.head);
    }
    (bytes, is_open)
}

/// What we accept, tungstenite accepts too, with the same key; where it does not, the reason is
/// one of these.
fn compare(head: &[u8], accept: &str) {
    let theirs = match TheirRequest::try_parse(head) {
        Ok(Some((_, request))) => request,
        Ok(None) => panic!("the head is whole"),
        // It wants a target and names of fields that the http crate takes; httparse, which both
        // of us use, is wider.
        Err(tungstenite::Error::HttpFormat(_)) => return,
        Err(error) => panic!("the oracle refuses {error}"),
    };
    let values = |name: &str| theirs.headers().get_all(name).iter().collect::<Vec<_>>();
    match create_response(&theirs) {
        Ok(response) => {
            assert_eq!(response.headers()["Sec-WebSocket-Accept"].as_bytes(), accept.as_bytes());
        }
        // It reads the first field of that name only, if it is visible ASCII, and knows no tab.
        Err(tungstenite::Error::Protocol(ProtocolError::MissingConnectionUpgradeHeader)) => {
            let values = values("Connection");
            let has_tab = values.iter().any(|value| value.as_bytes().contains(&b'\t'));
            assert!(values.len() > 1 || has_tab || values[0].to_str().is_err());
        }
        // It takes no list of protocols.
        Err(tungstenite::Error::Protocol(ProtocolError::MissingUpgradeWebSocketHeader)) => {
            let values = values("Upgrade");
            assert!(values.len() > 1 || values[0].as_bytes().contains(&b','));
        }
        Err(error) => panic!("the oracle refuses {error}"),
    }
}
