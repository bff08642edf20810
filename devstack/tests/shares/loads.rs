//! The loads of `carillon drill hostile`, with fewer connections: does an innocent tenant that needs what they take notice?
//!
//! Those that no other file of this folder has. `make hostile` runs all of them whole, on a release build.

use std::time::Duration;

use carillon_devstack::command::hostile::{HostileLoad, Innocent, Pace, Size, prepare};
use carillon_devstack::stack::{Stack, StackConfig};

use crate::faults::alone;
use crate::faults::probe::sql;
use crate::figures::{Figures, TRIES, in_turns};

/// Time of one turn, alone or with the load.
const TURN: Duration = Duration::from_millis(700);
/// Some 25 publishes and seven resumes a turn.
const PACE: Pace = Pace { publish: Duration::from_millis(28), resume: Duration::from_millis(100) };
/// A load's connections are there after this.
const BEGINNING: Duration = Duration::from_millis(300);

/// A hostile tenant that begins takes the database 20 ms, so that look-ups wait however fast it is, and cost nothing.
const SLOW: &str = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN IF NEW.id LIKE 'hostile-%' THEN PERFORM pg_sleep(0.02); END IF; RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON carillon.tenants FOR EACH ROW EXECUTE FUNCTION slow()";

const LOADS: [HostileLoad; 7] = [
    HostileLoad::ManyChannels,
    HostileLoad::ManyChannelsTokenless,
    HostileLoad::Subscriptions,
    HostileLoad::Parsing,
    HostileLoad::TenantLookups,
    HostileLoad::Cursors,
    HostileLoad::CursorsOfMany,
];

/// What the innocent feels of a load: of publishing, and of coming back.
async fn compare(stack: &Stack, innocent: &mut Innocent, load: HostileLoad) -> Vec<String> {
    innocent.needs = load.needs();
    let resumes = std::cell::RefCell::new([Figures::default(), Figures::default()]);
    let running = std::cell::RefCell::new(None);
    let answers = std::cell::RefCell::new(String::new());
    let innocent = &*innocent;
    let measure = async || {
        let felt = innocent.measure(stack, TURN).await.unwrap();
        let refused: Vec<String> = felt.refused.keys().cloned().collect();
        let with = usize::from(running.borrow().is_some());
        resumes.borrow_mut()[with].join(Figures::new(felt.resumes, Vec::new(), TURN));
        Figures::new(felt.publishes, refused, TURN)
    };
    let hostile = async |on| {
        if on {
            running.replace(Some(load.start(stack, Size::Quarter).unwrap()));
            tokio::time::sleep(BEGINNING).await;
        } else {
            let load = running.take().unwrap();
            let answered = load.stop(stack).await.unwrap();
            answers.replace(answered);
        }
    };
    let (alone, with) = in_turns(measure, hostile).await;
    if answers.borrow().is_empty() {
        return vec![format!("{load:?}: nothing was answered to it, so nobody could feel it")];
    }
    let [resumes_alone, resumes_with] = resumes.into_inner();
    let publishing = with.hurt(&format!("{load:?}, publishing ({})", answers.borrow()), &alone);
    let coming_back = resumes_with.hurt(&format!("{load:?}, coming back"), &resumes_alone);
    publishing.into_iter().chain(coming_back).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_is_felt_by_nobody_who_needs_the_same() {
    let _alone = alone().await;
    let stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    prepare(&stack, 1_000).await.unwrap();
    sql(&stack, SLOW).await;
    let mut innocent = Innocent::prepare(&stack).await.unwrap();
    innocent.pace = PACE;
    let mut hurt = Vec::new();
    for load in LOADS {
        let mut felt = compare(&stack, &mut innocent, load).await;
        for _ in 1..TRIES {
            if felt.is_empty() {
                break;
            }
            felt = compare(&stack, &mut innocent, load).await;
        }
        hurt.extend(felt);
    }
    assert!(hurt.is_empty(), "{}", hurt.join("\n"));
}
