//! stub
use super::{console::Console, failure::Failure};
use clap::Args;
#[derive(Debug, Args)]
pub struct DemoArgs {}
pub async fn run(_: DemoArgs, _: &Console) -> Result<(), Failure> {
    Ok(())
}
