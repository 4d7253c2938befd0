//! Request heads, in any cut, beside tungstenite's handshake and the http crate's targets.

use hallway::chat::Server;
use hallway::http::{Request, head_len, parse, query_pairs};
use hallway::limits::{Limits, REQUEST_BYTES_MAX, REQUEST_HEADERS_MAX};
use hallway::outbound::Thresholds;
use hallway::ws::{handshake, offered};
use testkit::Driver;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request as TheirRequest, create_response};
use tungstenite::http::{HeaderName, HeaderValue, Uri};

use crate::input::{Input, pieces};
use crate::server::remembered;
use crate::stream;
use crate::watch::Watch;

/// Target `upgrade`. The first byte chooses the cuts; the rest is what a client sends.
pub fn upgrade(data: &[u8]) {
    let mut input = Input::new(data);
    let cut = input.byte();
    let bytes = input.rest();
    check_head_len(bytes);
    assert_eq!(answer(pieces(bytes, cut)), answer([bytes]), "the cut changes the answer");
    if let Ok(Some(len)) = head_len(bytes, 0)
        && let Ok(request) = parse(&bytes[..len])
    {
        check_request(&bytes[..len], &request);
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
    let mut driver = Driver::new(limits.clone());
    let watch = Watch::new(&driver, &limits, Thresholds::default(), Server::check, remembered);
    let id = driver.connect(None).expect("a slot");
    for piece in pieces {
        driver.send(id, piece);
        watch.flush(&mut driver);
    }
    let open = driver.socket(id);
    let is_open = open.is_some();
    let socket = open.or(driver.closed.first()).expect("one socket");
    let mut bytes = Vec::from(socket.received.clone());
    // What follows a handshake is the business of the peer's target.
    if let Some(answer) = stream::read(&bytes, true)
        && answer.status == 101
    {
        bytes.truncate(answer.head);
    }
    (bytes, is_open)
}

/// A request is what httparse and the http crate read in it, and is answered as it asks.
fn check_request(head: &[u8], request: &Request<'_>) {
    let mut fields = [httparse::EMPTY_HEADER; REQUEST_HEADERS_MAX];
    let mut theirs = httparse::Request::new(&mut fields);
    assert!(theirs.parse(head).is_ok_and(|status| status.is_complete()), "we took it");
    assert_eq!(Some(request.method), theirs.method);
    let target = theirs.path.expect("it has a target");
    check_target(target, request);
    check_query(request.query);
    for field in theirs.headers.iter() {
        assert!(request.values(field.name).any(|value| value == field.value.trim_ascii()));
        // Neither of them may be there twice.
        let is_single = request.values(field.name).count() == 1 && !field.value.is_empty();
        assert_eq!(request.single(field.name).is_ok(), is_single, "{}", field.name);
    }
    // Each must be an item of a list (RFC 6455, section 4.2.1).
    let is_listed = |name: &str, token: &str| {
        let named = theirs.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        named
            .flat_map(|field| field.value.split(|&byte| byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    };
    let asks = is_listed("Upgrade", "websocket") && is_listed("Connection", "upgrade");
    match handshake(request) {
        Ok(None) => assert!(!asks, "it asks for an upgrade"),
        Err(refusal) => assert!(asks, "refused with {}, and it asks for nothing", refusal.status),
        Ok(Some(handshake)) => {
            assert!(asks, "it asks for no upgrade");
            let is_taken = target.parse::<Uri>().is_ok()
                && theirs.headers.iter().all(|field| {
                    HeaderName::from_bytes(field.name.as_bytes()).is_ok()
                        && HeaderValue::from_bytes(field.value).is_ok()
                });
            compare(head, is_taken, request, &handshake.accept);
        }
    }
}

/// Path and query are those that the http crate reads in a target of origin form, or of absolute
/// form with a scheme that we know.
fn check_target(target: &str, request: &Request<'_>) {
    let Ok(uri) = target.parse::<Uri>() else { return };
    let is_absolute =
        ["http://", "https://", "ws://", "wss://"].iter().any(|scheme| target.starts_with(scheme));
    if !target.starts_with('/') && !is_absolute {
        return;
    }
    // A path that is missing is none for us.
    let path = if request.path.is_empty() { "/" } else { request.path };
    assert_eq!((path, request.query), (uri.path(), uri.query().unwrap_or_default()), "{target}");
}

/// Keys and values are percent-decoded as the URL standard says (application/x-www-form-urlencoded).
fn check_query(query: &str) {
    let decoded = |text: &str| {
        let (bytes, mut decoded) = (text.as_bytes(), Vec::new());
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let digits = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
            let code = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            let code = code.and_then(|code| str::from_utf8(code).ok());
            let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
            at += if code.is_some() { 3 } else { 1 };
            decoded.push(code.unwrap_or(if byte == b'+' { b' ' } else { byte }));
        }
        String::from_utf8_lossy(&decoded).into_owned()
    };
    let parts = query.split('&').filter(|part| !part.is_empty());
    let expected = parts.map(|part| part.split_once('=').unwrap_or((part, "")));
    let expected = expected.map(|(key, value)| (decoded(key), decoded(value)));
    let pairs = query_pairs(query).map(|(key, value)| (key.into_owned(), value.into_owned()));
    assert!(pairs.eq(expected), "{query}");
}

/// What we accept, tungstenite accepts too, with the same key and the same subprotocols; where it
/// does not, the reason is one of these.
fn compare(head: &[u8], is_taken_by_http: bool, request: &Request<'_>, accept: &str) {
    let theirs = match TheirRequest::try_parse(head) {
        Ok(Some((_, request))) => request,
        Ok(None) => panic!("the head is whole"),
        // It wants a target and fields that the http crate takes; httparse, which both of us use,
        // is wider.
        Err(tungstenite::Error::HttpFormat(_)) => return assert!(!is_taken_by_http),
        // Which methods a path allows is not the handshake's business.
        Err(tungstenite::Error::Protocol(ProtocolError::WrongHttpMethod)) => {
            return assert_ne!(request.method, "GET");
        }
        Err(error) => panic!("the oracle refuses {error}"),
    };
    let values = |name: &str| theirs.headers().get_all(name).iter().collect::<Vec<_>>();
    let lists = values("Sec-WebSocket-Protocol").into_iter();
    let subprotocols = lists.flat_map(|list| list.as_bytes().split(|&byte| byte == b','));
    assert!(offered(request).eq(subprotocols.map(<[u8]>::trim_ascii)), "subprotocols");
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
