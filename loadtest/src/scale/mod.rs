//! What does an installation of millions of connections need, by arithmetic from what `bench` measured?
//!
//! [`measured`] reads the constants out of a bench.json, [`plan`] works out what an installation needs, [`page`] writes
//! docs/SCALE.md and [`picture`] its plot. Nothing is measured here.

mod measured;
mod page;
mod picture;
mod plan;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use self::measured::Measured;
use self::plan::{Installation, Needs};
use crate::failure::Failure;
use crate::table::Table;

/// `carillon-loadtest scale`
#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    /// What `bench` wrote; it needs the measures B1, B3, B5, B6, B7 and R1.
    #[arg(long, default_value = "docs/scale/bench.json", value_name = "FILE")]
    bench: PathBuf,
    /// Write the page and its plot (SCALE.md, scale.svg) into this folder, too.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

/// What was worked out.
#[derive(Debug, Serialize)]
pub(crate) struct Scale {
    measured: Measured,
    needs: Vec<Needs>,
}

impl crate::Report for Scale {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading("what installations need");
        for line in page::needs(&self.needs).lines() {
            table.text(line);
        }
        table
    }

    fn is_right(&self) -> bool {
        true
    }
}

/// `carillon-loadtest scale`
pub(crate) fn run(args: &ScaleArgs) -> Result<Scale, Failure> {
    let text = std::fs::read(&args.bench)
        .map_err(|error| Failure::Usage(format!("{}: {error}", args.bench.display())))?;
    let bench = serde_json::from_slice(&text).map_err(std::io::Error::from)?;
    let measured = Measured::read(&bench)?;
    let needs: Vec<Needs> = Installation::SHOWN.iter().map(|shown| shown.needs(&measured)).collect();
    if let Some(folder) = &args.write {
        std::fs::write(folder.join("SCALE.md"), page::write(&measured, &needs))?;
        std::fs::write(folder.join("scale.svg"), picture::draw(&needs)?)?;
    }
    Ok(Scale { measured, needs })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page in docs is what this program writes from the bench.json beside it.
    #[test]
    fn the_page_is_what_the_figures_say() {
        let docs = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs"));
        let text = std::fs::read(docs.join("scale/bench.json")).unwrap();
        let measured = Measured::read(&serde_json::from_slice(&text).unwrap()).unwrap();
        let needs: Vec<Needs> = Installation::SHOWN.iter().map(|shown| shown.needs(&measured)).collect();
        let is = std::fs::read_to_string(docs.join("SCALE.md")).unwrap();
        assert_eq!(is, page::write(&measured, &needs), "carillon-loadtest scale --write docs");
    }
}
