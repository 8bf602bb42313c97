//! Opens a LUN, writes a block, reads it back.
//!
//! ```text
//! cargo run --example hello_lun                       # a LUN in memory
//! cargo run --example hello_lun -- --destroy nvme-tcp://10.0.0.1/nqn.x nvme-tcp://10.0.1.1/nqn.x
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;
use umpio::base::sg::SgList;
use umpio::front::block::{BlockChannel, Completion, Engine, Io, LunSpec};
use umpio::sys::iobuf::IoBuf;

fn main() -> ExitCode {
    match example() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("hello_lun: {e}");
            ExitCode::FAILURE
        }
    }
}

fn example() -> Result<(), Box<dyn Error>> {
    let mut urls: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--destroy")
        .collect();
    if urls.is_empty() {
        urls.push("mem:64M".to_owned());
    } else if !std::env::args().any(|a| a == "--destroy") {
        return Err(
            "this overwrites the first block of the LUN: say --destroy if you mean it".into(),
        );
    }

    let mut engine = Engine::new(Default::default())?;
    let lun = engine.open_lun(&LunSpec {
        name: "hello".to_owned(),
        urls,
        ..Default::default()
    })?;
    engine.await_lun(lun, Duration::from_secs(5))?;
    let geometry = engine.geometry(lun).ok_or("ready LUNs have a geometry")?;
    println!(
        "LUN: {} blocks of {} bytes, {}",
        geometry.blocks, geometry.block_size, geometry.identity
    );

    let mut channel = engine.open_channel(lun)?;
    let block = geometry.block_size as usize;
    let mut hello = vec![0; block];
    hello[..12].copy_from_slice(b"Hello, LUN!\n");
    let written = run(
        &mut engine,
        &mut channel,
        Io::write(0, IoBuf::from(hello.as_slice())),
    )?;
    written.result?;

    let read = run(
        &mut engine,
        &mut channel,
        Io::read(0, SgList::zeroed(block)),
    )?;
    read.result?;
    let text = read.io.data.segments()[0].as_slice();
    print!("read back: {}", String::from_utf8_lossy(&text[..12]));

    for path in engine.status(lun).paths {
        println!("{}: {}, {} I/Os", path.url, path.state, path.stats.ios);
    }
    engine.shut_down(Duration::from_secs(1));
    if text == hello {
        Ok(())
    } else {
        Err("what was read is not what was written".into())
    }
}

/// One I/O, start to end. Programs with more than one at a time submit them all, then poll.
fn run(
    engine: &mut Engine,
    channel: &mut BlockChannel,
    io: Io,
) -> Result<Completion, Box<dyn Error>> {
    channel.submit(engine, io)?;
    let mut done = Vec::new();
    while channel.poll_completions(engine, &mut done) == 0 {
        engine.wait(Duration::from_millis(10));
    }
    done.pop().ok_or_else(|| "one I/O, one completion".into())
}
