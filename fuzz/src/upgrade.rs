//! Request heads, in any cut, beside tungstenite's handshake.

use hallway::limits::{Limits, REQUEST_BYTES_MAX, REQUEST_HEADERS_MAX};
use hallway::server::Server;
use hallway::wire::upgrade::{Request, head_len, parse};
use tungstenite::error::ProtocolError;
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request as TheirRequest, create_response};
use tungstenite::http::{HeaderName, HeaderValue, Uri};

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

/// The end of the head is found whatever was looked at before, and without another look at it:
/// what lies further back than a blank line is long has become line feeds, which would end the
/// head too early. By that, dripping is linear.
fn check_head_len(bytes: &[u8]) {
    let whole = head_len(bytes, 0);
    let end = match &whole {
        Ok(Some(len)) => *len,
        _ => bytes.len().min(REQUEST_BYTES_MAX),
    };
    let mut dripped = bytes.to_vec();
    for had in 0..end {
        // The first byte alone tells whether it is HTTP, each time.
        if had > 3 {
            dripped[had - 3] = b'\n';
        }
        match head_len(&dripped[..=had], had) {
            Ok(None) => assert!(had + 1 < end || whole == Ok(None), "a blank line is overlooked"),
            early => {
                let is_due = early == whole && (had + 1 == end || early.is_err());
                return assert!(is_due, "an end after {had} bytes, which is none");
            }
        }
    }
}

/// What the server writes to a client that sends this, and whether it is still connected.
fn answer<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<u8>, bool) {
    let limits = Limits::default();
    let mut house = House::new(Server::new, &limits, 1);
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

/// Whether the http crate can hold the target and the fields of this head.
fn is_taken_by_http(head: &[u8]) -> bool {
    let mut fields = [httparse::EMPTY_HEADER; REQUEST_HEADERS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    assert!(request.parse(head).is_ok_and(|status| status.is_complete()), "we took it");
    let has_target = request.path.is_some_and(|target| target.parse::<Uri>().is_ok());
    has_target
        && request.headers.iter().all(|field| {
            HeaderName::from_bytes(field.name.as_bytes()).is_ok()
                && HeaderValue::from_bytes(field.value).is_ok()
        })
}

/// What we accept, tungstenite accepts too, with the same key; where it does not, the reason is
/// one of these.
fn compare(head: &[u8], accept: &str) {
    let theirs = match TheirRequest::try_parse(head) {
        Ok(Some((_, request))) => request,
        Ok(None) => panic!("the head is whole"),
        // It wants a target and fields that the http crate takes; httparse, which both of us use,
        // is wider.
        Err(tungstenite::Error::HttpFormat(_)) => return assert!(!is_taken_by_http(head)),
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
