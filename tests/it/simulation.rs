//! Generated stories: callers ask and ask again, payers pay, time passes, the provider and its callbacks fail in every
//! way that the sandbox knows, and the service dies. What must hold at every moment is looked at after each step; what
//! must hold once faults stop, at the end. The steps follow from the seed; how threads meet does not.

mod step;
mod world;

use std::sync::Mutex;

use crate::support::rounds;
use world::World;

/// Stories of an ordinary run, and their length.
const STORIES: u32 = 3;
const STEPS: usize = 60;
/// Stories at the same time: they mostly wait.
const TOGETHER: usize = 3;

#[test]
fn whatever_happens_nothing_is_done_twice_and_all_agree_in_the_end() {
    let (first, stories) = (rounds::seed(), rounds::of(STORIES));
    println!("{stories} stories from UPISTREAM_SEED={first}");
    let seeds = Mutex::new((0..stories).map(|story| first.wrapping_add(u64::from(story))));
    let failed = Mutex::new(Vec::new());
    let next = || seeds.lock().expect("nobody panics while holding it").next();
    std::thread::scope(|threads| {
        for _ in 0..TOGETHER {
            threads.spawn(|| {
                while let Some(seed) = next() {
                    if std::panic::catch_unwind(|| tell(seed)).is_err() {
                        failed.lock().expect("nobody panics while holding it").push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("nobody panics while holding it");
    assert!(failed.is_empty(), "these stories failed, each is told by itself with UPISTREAM_SEED set to it: {failed:?}");
}

fn tell(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime needs nothing");
    runtime.block_on(async {
        let mut world = World::begin(seed).await;
        for _ in 0..STEPS {
            world.take_a_step().await;
            world.check_now().await;
        }
        world.check_the_end().await;
    });
}
