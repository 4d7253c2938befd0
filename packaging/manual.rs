//! Makes the manual page and the completions of three shells from the table of options.
//!
//! `cargo run --example manual` writes them into packaging/generated; tests/packaging.rs fails
//! where those files are out of date.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use hallway::options::{FLAGS, Flag, SETTINGS, Setting};

/// Each file below packaging/generated, and what is in it.
pub(crate) fn files() -> [(&'static str, String); 4] {
    [
        ("hallway.8", manual()),
        ("hallway.bash", bash()),
        ("_hallway", zsh()),
        ("hallway.fish", fish()),
    ]
}

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/generated");
    fs::create_dir_all(&folder)?;
    files().iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
}

/// What a shell may offer in place of a value.
enum Choice {
    Words(&'static str),
    Users,
    Files,
    Nothing,
}

fn choice(setting: &Setting) -> Choice {
    match setting.name {
        "log" => Choice::Words("error warn info debug"),
        "user" => Choice::Users,
        "welcome" => Choice::Files,
        _ => Choice::Nothing,
    }
}

/// Options that may be given more than once say so.
fn is_repeatable(setting: &Setting) -> bool {
    setting.help.contains("repeatable")
}

fn manual() -> String {
    let mut page = format!(
        ".\\\" Made by packaging/manual.rs\n.TH HALLWAY 8 \"\" \"hallway {}\" \"System manager's manual\"\n.nh\n.ad l\n{INTRODUCTION}",
        env!("CARGO_PKG_VERSION")
    );
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            let _ = writeln!(page, ".SS {group}");
        }
        let (name, value) = (roff(setting.name), roff(setting.value));
        let _ = writeln!(page, ".TP\n.BI \\-\\-{name} \\~ {value}\n{}", sentence(setting.help));
        let _ = writeln!(page, "Environment: \\fB{}\\fR.", setting.variable());
    }
    page.push_str(".SS Other\n");
    for Flag { short, name, help } in FLAGS {
        let short = short.map(|short| format!("\\-{short}\\fR, \\fB")).unwrap_or_default();
        let _ = writeln!(page, ".TP\n\\fB{short}\\-\\-{}\\fR\n{}", roff(name), sentence(help));
    }
    page + CONCLUSION
}

/// The help of an option as a sentence of its own.
fn sentence(help: &str) -> String {
    let mut chars = help.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    let rest = roff(chars.as_str()).replace(" [", ". Default: ").replace(']', "");
    format!("{}{rest}.", first.map(String::from).unwrap_or_default())
}

fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

const INTRODUCTION: &str = "\
.SH NAME
hallway \\- a chat server over WebSocket
.SH SYNOPSIS
.B hallway
.RI [ OPTION\\~VALUE ]...
.SH DESCRIPTION
Hallway serves a chat page at /, the WebSocket at /chat, a health check at /health,
and metrics for Prometheus at /metrics. It has no configuration file. Each option has an environment
variable; if both are given, the option counts. Sizes may end in K or M, times end in ms, s or m.
.SH OPTIONS
";

const CONCLUSION: &str = "\
.SH ENVIRONMENT
.TP
.B PORT
The port to listen on, on all addresses, if neither
.B \\-\\-listen
nor HALLWAY_LISTEN is given. Default: 8080.
.TP
.BR LISTEN_FDS \", \" LISTEN_PID \", \" LISTEN_FDNAMES
Listening sockets that a supervisor such as systemd passes; they are used instead of
.BR \\-\\-listen .
.TP
.BR NOTIFY_SOCKET \", \" WATCHDOG_USEC
The supervisor that is told when Hallway is ready, when it stops, and, for its watchdog, that the
event loop still runs.
.TP
.B JOURNAL_STREAM
If set, log lines begin with a priority for the journal instead of the time and the level.
.SH SIGNALS
.TP
.BR SIGTERM \", \" SIGINT
Close every connection with code 1001 and exit within five seconds. A second signal exits at once.
.TP
.B SIGHUP
Ignored.
.SH EXIT STATUS
0 after SIGTERM or SIGINT, 1 if the server cannot start or got a second signal, 2 if an option is wrong.
.SH FILES
.TP
.I /etc/default/hallway
Environment variables for the system service.
.SH SEE ALSO
.BR systemd.socket (5),
.BR passwd (5)
";

fn bash() -> String {
    let mut words: Vec<_> = SETTINGS.iter().map(|setting| format!("--{}", setting.name)).collect();
    words.extend(FLAGS.iter().map(|flag| format!("--{}", flag.name)));
    let mut cases = String::new();
    for setting in SETTINGS {
        let offer = match choice(setting) {
            Choice::Words(words) => format!("COMPREPLY=($(compgen -W \"{words}\" -- \"$2\"))"),
            Choice::Users => "COMPREPLY=($(compgen -u -- \"$2\"))".to_owned(),
            Choice::Files => "COMPREPLY=($(compgen -f -- \"$2\"))".to_owned(),
            Choice::Nothing => "COMPREPLY=()".to_owned(),
        };
        let _ = writeln!(cases, "    --{}) {offer} ;;", setting.name);
    }
    format!(
        "# bash completion of hallway, made by packaging/manual.rs\n# shellcheck shell=bash disable=SC2207\n\
         _hallway() {{\n    case $3 in\n{cases}    *) COMPREPLY=($(compgen -W \"{}\" -- \"$2\")) ;;\n    \
         esac\n}}\ncomplete -F _hallway hallway\n",
        words.join(" ")
    )
}

fn zsh() -> String {
    let mut text = String::from("#compdef hallway\n# Made by packaging/manual.rs\n\n_arguments -s");
    for setting in SETTINGS {
        let star = if is_repeatable(setting) { "*" } else { "" };
        let offer = match choice(setting) {
            Choice::Words(words) => format!("({words})"),
            Choice::Users => "_users".to_owned(),
            Choice::Files => "_files".to_owned(),
            Choice::Nothing => " ".to_owned(),
        };
        let (name, help, value) = (setting.name, zsh_text(setting.help), zsh_text(setting.value));
        let _ = write!(text, " \\\n    '{star}--{name}=[{help}]:{value}:{offer}'");
    }
    for Flag { short, name, help } in FLAGS {
        let help = zsh_text(help);
        if let Some(short) = short {
            let _ = write!(text, " \\\n    '-{short}[{help}]'");
        }
        let _ = write!(text, " \\\n    '--{name}[{help}]'");
    }
    text + "\n"
}

fn zsh_text(text: &str) -> String {
    text.replace('\'', "'\\''").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:")
}

fn fish() -> String {
    let mut text = String::from(
        "# fish completion of hallway, made by packaging/manual.rs\ncomplete -c hallway -f\n",
    );
    for setting in SETTINGS {
        let offer = match choice(setting) {
            Choice::Words(words) => format!("x -a '{words}'"),
            Choice::Users => "x -a '(__fish_complete_users)'".to_owned(),
            Choice::Files => "rF".to_owned(),
            Choice::Nothing => "x".to_owned(),
        };
        let help = fish_text(setting.help);
        let _ = writeln!(text, "complete -c hallway -l {} -{offer} -d '{help}'", setting.name);
    }
    for Flag { short, name, help } in FLAGS {
        let short = short.map(|short| format!(" -s {short}")).unwrap_or_default();
        let help = fish_text(help);
        let _ = writeln!(text, "complete -c hallway -l {name}{short} -d '{help}'");
    }
    text
}

fn fish_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}
