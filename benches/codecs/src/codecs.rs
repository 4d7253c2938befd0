//! The frame handlers that are compared, each driven as its own server would drive it: a read of
//! what the socket has, then all the messages in it, each checked to be UTF-8.

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use fastwebsockets::{Frame, OpCode as FastOpCode, Payload, Role as FastRole, WebSocket};
use hallway::limits::Limits;
use hallway::ws::frame::{Data, Decoder, Event, OpCode, append};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Message, Utf8Bytes};

use crate::shapes::BUFFER_BYTES;
use crate::stream::Stream;

/// One library: reads that many messages from a stream, or writes one that many times.
pub(crate) struct Codec {
    pub(crate) name: &'static str,
    pub(crate) decode: fn(Stream, u32),
    pub(crate) encode: fn(&str, u32) -> usize,
}

pub(crate) const CODECS: &[Codec] = &[
    Codec { name: "hallway", decode: decode_hallway, encode: encode_hallway },
    Codec { name: "tungstenite", decode: decode_tungstenite, encode: encode_tungstenite },
    Codec { name: "fastwebsockets", decode: decode_fastwebsockets, encode: encode_fastwebsockets },
];

/// The longest message of any shape, and some more.
const MESSAGE_BYTES_MAX: u32 = 128 * 1024;

fn decode_hallway(mut stream: Stream, count: u32) {
    let limits = Limits { message_bytes_max: MESSAGE_BYTES_MAX, ..Limits::default() };
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut decoder = Decoder::default();
    let mut left = count;
    while left > 0 {
        let len = stream.read(&mut buffer).expect("it never ends");
        let mut input = &mut buffer[..len];
        while let Some(event) = decoder.decode(&mut input, &limits).expect("well-formed frames") {
            assert!(matches!(black_box(event), Event::Text(_)));
            left = left.saturating_sub(1);
        }
    }
}

fn encode_hallway(text: &str, count: u32) -> usize {
    let mut stream = Stream::new(Vec::new(), 0);
    let mut out = Vec::new();
    for _ in 0..count {
        out.clear();
        append(OpCode::Data(Data::Text), black_box(text).as_bytes(), &mut out);
        let _ = stream.write(&out).expect("a sink");
    }
    stream.written
}

fn tungstenite() -> WebSocketContext {
    let config = WebSocketConfig::default().max_frame_size(Some(MESSAGE_BYTES_MAX as usize));
    WebSocketContext::new(Role::Server, Some(config))
}

fn decode_tungstenite(mut stream: Stream, count: u32) {
    let mut context = tungstenite();
    for _ in 0..count {
        let message = context.read(&mut stream).expect("well-formed frames");
        assert!(matches!(black_box(message), Message::Text(_)));
    }
}

fn encode_tungstenite(text: &str, count: u32) -> usize {
    let mut stream = Stream::new(Vec::new(), 0);
    let mut context = tungstenite();
    let text = Utf8Bytes::from(text);
    for _ in 0..count {
        context.write(&mut stream, Message::Text(black_box(&text).clone())).expect("a sink");
        context.flush(&mut stream).expect("a sink");
    }
    stream.written
}

fn decode_fastwebsockets(stream: Stream, count: u32) {
    let mut socket = WebSocket::after_handshake(stream, FastRole::Server);
    at_once(async {
        for _ in 0..count {
            let frame = socket.read_frame().await.expect("well-formed frames");
            assert!(frame.fin && black_box(frame).opcode == FastOpCode::Text);
        }
    });
}

fn encode_fastwebsockets(text: &str, count: u32) -> usize {
    let mut socket = WebSocket::after_handshake(Stream::new(Vec::new(), 0), FastRole::Server);
    at_once(async {
        for _ in 0..count {
            let payload = Payload::Borrowed(black_box(text).as_bytes());
            socket.write_frame(Frame::text(payload)).await.expect("a sink");
        }
    });
    socket.into_inner().written
}

/// The outcome of a future that never has to wait, because its streams don't.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("streams in memory are always ready"),
    }
}
