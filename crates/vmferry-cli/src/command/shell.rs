//! Completions, manual page and schemas: all made from the one definition.

use clap::CommandFactory as _;
use clap_complete::Shell;
use vmferry::Error;
use vmferry::core::ExitCode;
use vmferry::document;

use crate::answer::Answer;
use crate::args::{Cli, DocumentName, Global};

pub(crate) fn completions(global: &Global, shell: Shell) -> Result<ExitCode, Error> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut visible(&Cli::command()), "vmferry", &mut text);
    Answer::open(global)?.raw(&text)?;
    Ok(ExitCode::Done)
}

/// The command line without what is hidden: some shells would offer it.
fn visible(command: &clap::Command) -> clap::Command {
    clap::Command::new("vmferry")
        .version(vmferry::TOOL_VERSION)
        .propagate_version(true)
        .args(command.get_arguments().cloned())
        .subcommands(
            command
                .get_subcommands()
                .filter(|sub| !sub.is_hide_set())
                .cloned(),
        )
}

pub(crate) fn man(global: &Global) -> Result<ExitCode, Error> {
    let mut text = Vec::new();
    let fail = |source| Error::Io {
        what: "the manual page".into(),
        source,
    };
    let command = Cli::command();
    clap_mangen::Man::new(command.clone())
        .render(&mut text)
        .map_err(fail)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = format!("vmferry-{}", sub.get_name());
        let sub = sub.clone().name(name);
        clap_mangen::Man::new(sub).render(&mut text).map_err(fail)?;
    }
    Answer::open(global)?.raw(&text)?;
    Ok(ExitCode::Done)
}

pub(crate) fn schema(global: &Global, wanted: DocumentName) -> Result<ExitCode, Error> {
    let name = match wanted {
        DocumentName::Measure => "measure",
        DocumentName::Predict => "predict",
        DocumentName::Choose => "choose",
        DocumentName::Migrate => "migrate",
        DocumentName::Event => "event",
        DocumentName::Record => "record",
        DocumentName::Recover => "recover",
        DocumentName::HistoryList => "history-list",
        DocumentName::HistoryImport => "history-import",
        DocumentName::HistoryImports => "history-imports",
        DocumentName::HistoryForget => "history-forget",
        DocumentName::ProfileEnergy => "profile-energy",
        DocumentName::Compare => "compare",
        DocumentName::TraceInfo => "trace-info",
        DocumentName::Simulate => "simulate",
        DocumentName::TestbedStatus => "testbed-status",
        DocumentName::When => "when",
        DocumentName::Demo => "demo",
        DocumentName::ProfileCpu => "profile-cpu",
        DocumentName::Need => "need",
        DocumentName::BenchList => "bench-list",
        DocumentName::BenchReport => "bench-report",
        DocumentName::BenchCompare => "bench-compare",
        DocumentName::BenchRun => "bench-run",
        DocumentName::BenchEvent => "bench-event",
    };
    let schema = document::schemas()
        .into_iter()
        .find_map(|(known, schema)| (known == name).then_some(schema))
        .ok_or_else(|| Error::Internal(format!("no schema called {name}")))?;
    let mut text =
        serde_json::to_string_pretty(&schema).map_err(|e| Error::Internal(e.to_string()))?;
    text.push('\n');
    Answer::open(global)?.raw(text.as_bytes())?;
    Ok(ExitCode::Done)
}
