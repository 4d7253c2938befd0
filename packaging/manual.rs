//! The manual page and the completions of three shells, made of the table of options.
//!
//! `cargo run --example manual` writes them into packaging/generated; tests/packaging.rs fails
//! where they are not what it would write.

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
    Nothing,
}

fn choice(setting: &Setting) -> Choice {
    match setting.name {
        "log" => Choice::Words("error warn info debug"),
        "user" => Choice::Users,
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
    page.push_str(".SS Instead of serving\n");
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
One thread and one poll loop serve a web page at /, a WebSocket at /chat, the state of health at /health,
and numbers for Prometheus at /metrics. There is no configuration file: every option is an environment
variable too, and the option wins. Sizes take K and M, times ms, s and m.
.SH OPTIONS
";

const CONCLUSION: &str = "\
.SH ENVIRONMENT
.TP
.B PORT
The port to listen on where nothing else is said.
.TP
.BR LISTEN_FDS \", \" LISTEN_PID \", \" LISTEN_FDNAMES
Sockets that a supervisor passes; they are used in place of
.BR \\-\\-listen .
.TP
.BR NOTIFY_SOCKET \", \" WATCHDOG_USEC
The supervisor that is told of start, end and a loop that turns.
.TP
.B JOURNAL_STREAM
Log lines begin with their priority in place of time and level.
.SH SIGNALS
.TP
.BR SIGTERM \", \" SIGINT
Say goodbye to everybody and exit within five seconds; a second one exits at once.
.TP
.B SIGHUP
Nothing.
.SH EXIT STATUS
0 after a goodbye, 1 where it cannot serve or a second signal came, 2 for wrong options.
.SH FILES
.TP
.I /etc/default/hallway
Environment variables for the system's service.
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
            Choice::Words(words) => format!(" -a '{words}'"),
            Choice::Users => " -a '(__fish_complete_users)'".to_owned(),
            Choice::Nothing => String::new(),
        };
        let help = fish_text(setting.help);
        let _ = writeln!(text, "complete -c hallway -l {} -x{offer} -d '{help}'", setting.name);
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
