//! What a peer can do wrong with a frame, and the close code for each fault.

use std::fmt;

use tungstenite::protocol::frame::coding::CloseCode;

/// A fault in a frame. Any of them fails the connection (RFC 6455, section 7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// One of RSV1 to RSV3 is set and no extension was negotiated (section 5.2).
    ReservedBits,
    /// An opcode that the RFC reserves (section 5.2).
    ReservedOpcode(u8),
    /// A frame from a client without a mask (section 5.1).
    Unmasked,
    /// A control frame without FIN (section 5.5).
    FragmentedControl,
    /// A control frame with more than 125 bytes (section 5.5).
    LongControl,
    /// A length that fits in a shorter form (section 5.2).
    LongLengthForm,
    /// A 64-bit length with the most significant bit set (section 5.2).
    NegativeLength,
    /// A continuation where no message has begun (section 5.4).
    UnexpectedContinuation,
    /// A new message inside of a fragmented one (section 5.4).
    ExpectedContinuation,
    /// A Close frame with a body of one byte (section 5.5.1).
    CutCloseCode,
    /// A close code that no endpoint may send (section 7.4).
    ForbiddenCloseCode(u16),
    /// Text, or the reason in a Close frame, that is not UTF-8 (section 8.1).
    InvalidUtf8,
    /// A message longer than the limit: its bytes as far as headers have announced them.
    MessageTooBig {
        /// Bytes announced so far.
        bytes: u64,
        /// Bytes allowed.
        limit: u32,
    },
    /// A message of more fragments than the limit.
    TooManyFragments {
        /// Fragments allowed.
        limit: u32,
    },
}

impl FrameError {
    /// The code of the Close frame that answers this fault (section 7.4.1).
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 => CloseCode::Invalid,
            Self::MessageTooBig { .. } | Self::TooManyFragments { .. } => CloseCode::Size,
            _ => CloseCode::Protocol,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits => write!(f, "reserved bits are set"),
            Self::ReservedOpcode(opcode) => write!(f, "opcode {opcode:#x} is reserved"),
            Self::Unmasked => write!(f, "frame is not masked"),
            Self::FragmentedControl => write!(f, "control frame is fragmented"),
            Self::LongControl => write!(f, "control frame is over 125 bytes"),
            Self::LongLengthForm => write!(f, "length is not in its shortest form"),
            Self::NegativeLength => write!(f, "length has its highest bit set"),
            Self::UnexpectedContinuation => write!(f, "continuation of no message"),
            Self::ExpectedContinuation => write!(f, "new message inside of a fragmented one"),
            Self::CutCloseCode => write!(f, "close code is cut"),
            Self::ForbiddenCloseCode(code) => write!(f, "close code {code} is not allowed"),
            Self::InvalidUtf8 => write!(f, "not UTF-8"),
            Self::MessageTooBig { bytes, limit } => {
                write!(f, "message is {bytes} bytes, the limit is {limit}")
            }
            Self::TooManyFragments { limit } => {
                write!(f, "message is over {limit} fragments")
            }
        }
    }
}

impl std::error::Error for FrameError {}
