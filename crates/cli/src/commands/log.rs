//! `tollgate log`: what was decided.
//!
//! * [`question`]: which entries, as a person says it.
//! * [`source`]: the service, or a file.
//! * [`mod@line`]: an entry as a line to read.
//! * [`out`]: where lines go.
//!
//! Neighbours: `service::export` has the forms for other programs; `docs/log.md` shows each.

mod line;
mod out;
mod question;
mod source;

use crate::client::Where;
use crate::failure::{Exit, Failure};
use control::entry::Entry;
use jiff::tz::TimeZone;
use line::Width;
use out::Out;
use question::Question;
use service::export::syslog::Facility;
use service::export::{Format, Origin, Target};
use service::log::QueryError;
use source::Source;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

/// How many entries are shown when nothing else is asked for.
const LAST: u64 = 50;

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tollgate log                                    the last 50 decisions
  tollgate log -f --verdict block                 and those to come, blocked ones only
  tollgate log --program node --since 2h          everything of the last two hours
  tollgate log --rule user/node --json            JSON lines, for other programs
  tollgate log --all --format ocsf --output log.jsonl
  tollgate log -f --to udp://192.0.2.1:514        as syslog messages, as they come
  tollgate log --db log.db                        a copy of the log, without the service

A line shows when, verdict, program, remote end and why. Several conditions must all hold; text is looked for
anywhere in upper or lower case. Continuous export is better left to the service: see `[syslog]` in its
configuration.")]
pub struct Args {
    #[command(flatten)]
    question: Question,

    /// Show the last N; default is 50, or all with --since or --until
    #[arg(short = 'n', long = "last", value_name = "N")]
    last: Option<u64>,

    /// Show all
    #[arg(long, conflicts_with = "last")]
    all: bool,

    /// Go on with new ones until Ctrl-C
    #[arg(short, long)]
    follow: bool,

    /// In this form; default is `line`, with --to `syslog`
    #[arg(long, value_name = "FORM", value_enum)]
    format: Option<Form>,

    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Who syslog messages are from: a name such as local0 or daemon
    #[arg(long, value_name = "NAME", default_value = "local0")]
    facility: Facility,

    /// Write into a new file instead
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    output: Option<PathBuf>,

    /// Send to udp://HOST:PORT, tcp://HOST:PORT (RFC 6587) or unix:///PATH instead
    #[arg(long, value_name = "TARGET")]
    to: Option<Target>,

    /// Read this log file instead of asking the service
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
}

/// How an entry looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A line to read
    Line,
    /// JSON: the whole entry
    Json,
    /// JSON: OCSF 1.7, class 4001
    Ocsf,
    /// JSON: Elastic Common Schema 8.17
    Ecs,
    /// A message of RFC 5424
    Syslog,
}

/// Carries it out.
pub fn run(args: Args, server: &Where) -> Result<(), Failure> {
    let form = match (args.json, args.format, &args.to) {
        (true, ..) => Form::Json,
        (_, Some(form), _) => form,
        (_, None, Some(_)) => Form::Syslog,
        (_, None, None) => Form::Line,
    };
    let filter = args.question.filter();
    let is_ranged = filter.since.is_some() || filter.until.is_some();
    let last = args.last.or((!args.all && !is_ranged).then_some(LAST));
    let mut source = match args.db {
        Some(path) => Source::file(path),
        None => Source::service(server.connect()?),
    };
    let format = form.format();
    let out = match (args.output, &args.to) {
        (Some(path), _) => Out::file(&path)?,
        (None, Some(target)) => Out::target(target, format.unwrap_or(Format::Json))?,
        (None, None) => Out::standard(),
    };
    let is_read = args.to.is_none() && io::stdout().is_terminal();
    let origin = Origin { facility: args.facility, ..Origin::here() };
    let width = Width::of_terminal(is_read);
    let mut writer = Writer { out, format, origin, width, is_closed: false };
    let ended = source.give(&filter, last, args.follow, &mut |entries| writer.write(entries));
    // Whoever read us may have enough.
    if writer.is_closed { Ok(()) } else { ended }
}

impl Form {
    /// `None` for the line to read.
    const fn format(self) -> Option<Format> {
        match self {
            Self::Line => None,
            Self::Json => Some(Format::Json),
            Self::Ocsf => Some(Format::Ocsf),
            Self::Ecs => Some(Format::Ecs),
            Self::Syslog => Some(Format::Syslog),
        }
    }
}

/// Makes lines, and gets them out.
struct Writer {
    out: Out,
    format: Option<Format>,
    origin: Origin,
    width: Width,
    /// Whether whoever reads standard output went away.
    is_closed: bool,
}

impl Writer {
    fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        let written = self.write_all(entries);
        let is_broken = written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        self.is_closed = is_broken && matches!(self.out, Out::Standard(_));
        written
    }

    fn write_all(&mut self, entries: &[Entry]) -> io::Result<()> {
        for entry in entries {
            let line = match self.format {
                Some(format) => format.line(entry, &self.origin),
                None => line::line(entry, self.width, &TimeZone::system()),
            };
            self.out.send(&line)?;
        }
        self.out.flush()
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let help = match &error {
            QueryError::Absent(_) => "say where it is: `tollgate log --db FILE`",
            QueryError::Version { .. } => "use the program that came with the service",
            QueryError::NotALog(_) => "the log is `log.db` in the service's directory of state",
            QueryError::Damaged(_) => {
                "the service sets a damaged log aside when it meets the damage, and begins a new one"
            }
            QueryError::Sql(_) => "see that you may read the file and its directory",
        };
        Self::new(Exit::Failed, error, Some(help))
    }
}
