use tokio::time::advance;

use super::*;

const KEY: &str = "upk_orders";
const NEXT_KEY: &str = "upk_orders-next";
const IDENTITY: &str = "spiffe://example.org/orders";

fn account(name: &str) -> AccountName {
    name.parse().unwrap()
}

fn known() -> KnownCaller {
    KnownCaller {
        api_key_hashes: vec![ApiKeyHash::of(KEY)],
        identities: vec![IDENTITY.to_owned()],
        accounts: Some([account("shop")].into()),
        permissions: [Permission::EventsRead, Permission::QrRead].into(),
        calls_per_second: 10,
        calls_max: 3,
        streams_max: 2,
    }
}

fn named(callers: &[(&str, KnownCaller)]) -> Configured {
    callers.iter().map(|(name, known)| (name.parse().unwrap(), known.clone())).collect()
}

fn other() -> KnownCaller {
    KnownCaller { api_key_hashes: vec![ApiKeyHash::of("upk_other")], identities: vec!["other.svc".to_owned()], ..known() }
}

fn shows<'a>(api_key: Option<&'a str>, identities: &'a [String]) -> Shown<'a> {
    Shown { api_key, identities }
}

fn by_key(callers: &Callers, key: &str) -> Result<std::sync::Arc<Caller>, Unknown> {
    callers.identify(shows(Some(key), &[]))
}

#[test]
fn where_nobody_is_configured_everybody_may_everything() {
    let callers = Callers::new(Configured::new());
    let caller = callers.identify(Shown::default()).unwrap();
    assert_eq!((caller.name.as_str(), caller.permissions().count()), (LOCAL_CALLER, Permission::ALL.len()));
    assert!(caller.sees(&account("any")) && callers.admit(&caller).is_ok());
    // Once there was a caller, nobody is let in because there is none any more.
    assert!(callers.replace(named(&[("orders", known())])) && !callers.replace(named(&[("orders", known())])));
    assert!(callers.replace(Configured::new()));
    assert_eq!(callers.identify(Shown::default()).map(|caller| caller.name.clone()), Err(Unknown::NoCredential));
    assert_eq!(by_key(&callers, KEY).map(|caller| caller.name.clone()), Err(Unknown::Key));
}

#[test]
fn a_caller_is_known_by_his_key_or_by_his_certificate_and_never_by_two_of_different_callers() {
    let callers = Callers::new(named(&[("orders", known()), ("other", other())]));
    let (orders, others, strange) = ([IDENTITY.to_owned()], ["other.svc".to_owned()], ["evil.svc".to_owned()]);
    let identified = |key, identities| callers.identify(shows(key, identities)).map(|caller| caller.name.clone());
    assert_eq!(identified(Some(KEY), &[]), Ok("orders".to_owned()));
    assert_eq!(identified(None, &orders), Ok("orders".to_owned()));
    assert_eq!(identified(Some(KEY), &orders), Ok("orders".to_owned()));
    assert_eq!(identified(Some(KEY), &strange), Ok("orders".to_owned()));
    assert_eq!(identified(Some(KEY), &others), Err(Unknown::Both));
    assert_eq!(identified(None, &[]), Err(Unknown::NoCredential));
    assert_eq!(identified(None, &strange), Err(Unknown::Identity));
    // A certificate doesn't make up for a wrong key.
    for key in ["", "upk_", "upk_Orders", &ApiKeyHash::of(KEY).to_string()] {
        assert_eq!(identified(Some(key), &orders), Err(Unknown::Key), "{key}");
    }
}

#[test]
fn he_may_and_sees_what_is_named_and_nothing_else() {
    let callers = Callers::new(named(&[("orders", known())]));
    let caller = by_key(&callers, KEY).unwrap();
    assert!(caller.may(Permission::QrRead) && !caller.may(Permission::QrWrite) && !caller.may(Permission::Admin));
    assert!(caller.sees(&account("shop")) && !caller.sees(&account("shop-2")));
    assert_eq!(caller.sight(), Sight::Masked);
    let with_pii = KnownCaller { permissions: [Permission::PiiRead].into(), accounts: None, ..known() };
    callers.replace(named(&[("orders", with_pii)]));
    let caller = by_key(&callers, KEY).unwrap();
    assert!(caller.sees(&account("shop-2")) && !caller.may(Permission::QrRead));
    assert_eq!(caller.sight(), Sight::Clear);
    let nobody = Caller::nobody();
    assert!(!nobody.sees(&account("shop")) && nobody.permissions().count() == 0 && nobody.sight() == Sight::Masked);
}

#[test]
fn keys_are_changed_without_a_gap() {
    let callers = Callers::new(named(&[("orders", known())]));
    let hashes = |keys: &[&str]| keys.iter().map(|key| ApiKeyHash::of(key)).collect();
    callers.replace(named(&[("orders", KnownCaller { api_key_hashes: hashes(&[KEY, NEXT_KEY]), ..known() })]));
    assert!(by_key(&callers, KEY).is_ok() && by_key(&callers, NEXT_KEY).is_ok());
    callers.replace(named(&[("orders", KnownCaller { api_key_hashes: hashes(&[NEXT_KEY]), ..known() })]));
    assert_eq!(by_key(&callers, KEY).map(|caller| caller.name.clone()), Err(Unknown::Key));
    assert!(by_key(&callers, NEXT_KEY).is_ok());
}

#[tokio::test(start_paused = true)]
async fn so_many_calls_at_once_and_no_more() {
    let callers = Callers::new(named(&[("orders", known()), ("other", other())]));
    let caller = by_key(&callers, KEY).unwrap();
    let mut under_way: Vec<UnderWay> = (0..3).map(|_| callers.admit(&caller).unwrap()).collect();
    let refused = callers.admit(&caller).unwrap_err();
    assert!(matches!(refused, Error::Exhausted { limit: 3, .. }), "{refused:?}");
    // Another's calls are his own.
    assert!(callers.admit(&by_key(&callers, "upk_other").unwrap()).is_ok());
    under_way.pop();
    let last = callers.admit(&caller);
    assert!(last.is_ok() && callers.admit(&caller).is_err());
    // Nothing leaks of those that were refused.
    drop((under_way, last));
    let again: Vec<_> = (0..3).map(|_| callers.admit(&caller).unwrap()).collect();
    assert_eq!(again.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn so_many_calls_a_second_and_no_more() {
    let callers = Callers::new(named(&[("orders", known())]));
    let caller = by_key(&callers, KEY).unwrap();
    let admitted = || (0..50).filter(|_| callers.admit(&caller).is_ok()).count();
    advance(Duration::from_secs(60)).await;
    assert_eq!(admitted(), 10, "a second's worth, however long the pause was");
    let Err(Error::Exhausted { limit: 10, retry_after, .. }) = callers.admit(&caller) else { panic!("it is too much") };
    assert_eq!(retry_after, Duration::from_millis(100));
    advance(retry_after).await;
    assert_eq!(admitted(), 1);
    advance(Duration::from_millis(500)).await;
    assert_eq!(admitted(), 5);
    // More are allowed from the next call on.
    callers.replace(named(&[("orders", KnownCaller { calls_per_second: 1_000, ..known() })]));
    advance(Duration::from_secs(1)).await;
    let caller = by_key(&callers, KEY).unwrap();
    assert_eq!((0..2_000).filter(|_| callers.admit(&caller).is_ok()).count(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_what_it_lives_by_is_taken_away_and_not_before() {
    let without = |change: fn(&mut KnownCaller)| {
        let mut changed = known();
        change(&mut changed);
        named(&[("orders", changed)])
    };
    let all = KnownCaller { permissions: Permission::ALL.into(), ..known() };
    let table = [
        (without(|_| ()), None),
        (without(|known| known.calls_per_second = 1), None),
        (without(|known| known.accounts = None), None),
        (without(|known| known.api_key_hashes.push(ApiKeyHash::of(NEXT_KEY))), None),
        (named(&[("orders", all)]), None),
        (named(&[("orders", known()), ("other", other())]), None),
        (Configured::new(), Some(Revoked::Caller)),
        (named(&[("other", other())]), Some(Revoked::Caller)),
        (named(&[("renamed", known())]), Some(Revoked::Caller)),
        (without(|known| known.api_key_hashes = vec![ApiKeyHash::of(NEXT_KEY)]), Some(Revoked::Caller)),
        (
            without(|known| known.permissions.retain(|permission| *permission != Permission::EventsRead)),
            Some(Revoked::Permission(Permission::EventsRead)),
        ),
        (without(|known| known.accounts = Some([account("other")].into())), Some(Revoked::Account)),
    ];
    for (configured, revoked) in table {
        let callers = Callers::new(named(&[("orders", known())]));
        let caller = by_key(&callers, KEY).unwrap();
        let mut grant = callers.grant(&caller, Permission::EventsRead, Arc::new([account("shop")].into()));
        let waits = tokio::time::timeout(Duration::from_secs(1), grant.revoked()).await;
        assert!(waits.is_err(), "nothing has changed yet");
        callers.replace(configured.clone());
        let ended = tokio::time::timeout(Duration::from_secs(1), grant.revoked()).await.ok();
        assert_eq!(ended, revoked, "{configured:?}");
    }
    // One that nobody had to be known for ends when callers are configured.
    let callers = Callers::new(Configured::new());
    let local = callers.identify(Shown::default()).unwrap();
    let mut grant = callers.grant(&local, Permission::EventsRead, Arc::default());
    callers.replace(named(&[("orders", known())]));
    assert_eq!(grant.revoked().await, Revoked::Caller);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_showed_personal_data_ends_with_that_permission() {
    let may =
        |permissions: &[Permission]| named(&[("orders", KnownCaller { permissions: permissions.iter().copied().collect(), ..known() })]);
    let callers = Callers::new(may(&[Permission::EventsRead, Permission::PiiRead]));
    let mut grant = callers.grant(&by_key(&callers, KEY).unwrap(), Permission::EventsRead, Arc::default());
    callers.replace(may(&[Permission::EventsRead]));
    assert_eq!(grant.revoked().await, Revoked::Permission(Permission::PiiRead));
}
