use super::*;
use crate::ask::Granted;
use crate::outbound::{OutboundConfig, Ports, SigningSecret};
use crate::rules::Action;
use carillon_protocol::Channel;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// An application that answers each question so, after a while, and counts them.
struct Application {
    url: String,
    port: u16,
    questions: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    /// Nothing is answered while somebody holds it.
    held: Arc<tokio::sync::RwLock<()>>,
}

async fn application(answer: String, after: Duration) -> Application {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (questions, now, most) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let held = Arc::<tokio::sync::RwLock<()>>::default();
    let (counted, highest, hold) = (questions.clone(), most.clone(), held.clone());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (answer, counted, now, highest, hold) =
                (answer.clone(), counted.clone(), now.clone(), highest.clone(), hold.clone());
            tokio::spawn(async move {
                let mut buffer = vec![0; 8 * 1024];
                while socket.read(&mut buffer).await.is_ok_and(|length| length > 0) {
                    counted.fetch_add(1, Ordering::SeqCst);
                    highest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(after).await;
                    drop(hold.read().await);
                    now.fetch_sub(1, Ordering::SeqCst);
                    let _ = socket.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    Application { url: format!("http://127.0.0.1:{port}/ask"), port, questions, most, held }
}

fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

impl Application {
    fn endpoint(&self) -> Arc<Endpoint> {
        endpoint(&self.url, 1)
    }

    fn asked(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

fn endpoint(url: &str, generation: u64) -> Arc<Endpoint> {
    Arc::new(Endpoint::stored(url, SigningSecret::fresh().expose(), None, generation).unwrap())
}

fn asker(ports: &[u16]) -> Asker {
    let opened = vec!["127.0.0.0/8".parse().unwrap()];
    Asker::new(
        Outbound::new(OutboundConfig { opened, http: true, ports: Ports::These(ports.into()) }).unwrap(),
    )
}

fn question(tenant: &str, user: &str) -> Question {
    Question {
        tenant: TenantId::new(tenant).unwrap(),
        user: UserId::new(user).unwrap(),
        roles: std::sync::Arc::default(),
        channel: Channel::new("order:1").unwrap(),
        action: Action::Subscribe,
        device: None,
    }
}

#[tokio::test]
async fn a_thousand_who_ask_the_same_are_one_question_and_later_ones_none() {
    let application =
        application(http("200 OK", r#"{"allow": true, "ttl": 300}"#), Duration::from_millis(50)).await;
    let (asker, endpoint) = (asker(&[application.port]), application.endpoint());
    let all = (0..1_000).map(|_| asker.ask(&endpoint, question("acme", "mila")));
    let verdicts = futures_util::future::join_all(all).await;
    let lasts = Duration::from_secs(300);
    assert!(
        verdicts.iter().all(|verdict| matches!(verdict, Verdict::Allowed(granted) if granted.lasts == lasts))
    );
    assert_eq!(application.asked(), 1);
    let Verdict::Allowed(Granted { number, left, .. }) = asker.ask(&endpoint, question("acme", "mila")).await
    else {
        panic!("it was a yes");
    };
    assert!(application.asked() == 1 && left <= lasts);
    // Whoever has that verdict asks anew, and so does everybody after another setting.
    asker.ask_again(&endpoint, question("acme", "mila"), number).await;
    assert_eq!(application.asked(), 2);
    let later = self::endpoint(&application.url, 2);
    asker.ask(&later, question("acme", "mila")).await;
    assert_eq!(application.asked(), 3);
}

#[tokio::test]
async fn a_refusal_is_kept_and_no_answer_is_not() {
    let no = application(http("200 OK", r#"{"allow": false}"#), Duration::ZERO).await;
    let nonsense = application(http("200 OK", r#"{"allow": "yes"}"#), Duration::ZERO).await;
    let asker = asker(&[no.port, nonsense.port]);
    for _ in 0..3 {
        assert_eq!(asker.ask(&no.endpoint(), question("acme", "mila")).await, Verdict::Refused);
        assert_eq!(asker.ask(&nonsense.endpoint(), question("other", "mila")).await, Verdict::Unavailable);
    }
    assert_eq!((no.asked(), nonsense.asked()), (1, 3));
}

#[tokio::test]
async fn what_is_no_clear_answer_in_time_is_never_a_yes() {
    let yes = r#"{"allow": true}"#;
    let padded = format!(r#"{{"allow": true, "padding": "{}"}}"#, "x".repeat(BOUNDS.answer_bytes));
    let elsewhere = application(http("200 OK", yes), Duration::ZERO).await;
    let redirect =
        |to: &str| format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    let endless = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{yes}", yes.len() + 10);
    for (answer, after, reason) in [
        (http("500 Internal Server Error", yes), 0, "status"),
        (redirect(&elsewhere.url), 0, "redirect"),
        (redirect("http://10.0.0.1/"), 0, "redirect to a private address"),
        (http("200 OK", &padded), 0, "too large"),
        (endless, 0, "an answer without an end"),
        (http("200 OK", yes), 30_000, "slow"),
        ("nonsense\r\n\r\n".into(), 0, "no HTTP"),
    ] {
        let application = application(answer, Duration::from_millis(after)).await;
        let (asker, endpoint) = (asker(&[application.port, elsewhere.port]), application.endpoint());
        let began = Instant::now();
        assert_eq!(asker.ask(&endpoint, question("acme", "mila")).await, Verdict::Unavailable, "{reason}");
        // And what a busy machine adds.
        assert!(
            began.elapsed() < BOUNDS.within + Duration::from_millis(400),
            "{reason}: {:?}",
            began.elapsed()
        );
        assert!(application.asked() >= 1, "{reason}: it was asked");
    }
    assert_eq!(elsewhere.asked(), 0, "nobody follows a redirect");
    // And where it may not be called at all nobody connects.
    let application = application(http("200 OK", yes), Duration::ZERO).await;
    let closed = Asker::new(Outbound::new(OutboundConfig::default()).unwrap());
    assert_eq!(closed.ask(&application.endpoint(), question("acme", "mila")).await, Verdict::Unavailable);
    let named = OutboundConfig { opened: Vec::new(), http: true, ports: Ports::Any };
    let endpoint = self::endpoint(&format!("http://localhost:{}/", application.port), 1);
    let named = Asker::new(Outbound::new(named).unwrap());
    assert_eq!(named.ask(&endpoint, question("acme", "mila")).await, Verdict::Unavailable);
    assert_eq!(application.asked(), 0);
}

#[tokio::test]
async fn a_tenant_whose_application_is_slow_leaves_the_others_theirs() {
    let slow = application(http("200 OK", r#"{"allow": true}"#), Duration::ZERO).await;
    let quick = application(http("200 OK", r#"{"allow": true}"#), Duration::ZERO).await;
    let asker = asker(&[slow.port, quick.port]);
    let held = slow.held.write().await;
    let (slow_endpoint, quick_endpoint) = (slow.endpoint(), quick.endpoint());
    let many: Vec<_> = (0..60)
        .map(|user| {
            let (asker, endpoint) = (asker.clone(), slow_endpoint.clone());
            tokio::spawn(async move { asker.ask(&endpoint, question("slow", &format!("u{user}"))).await })
        })
        .collect();
    while slow.most.load(Ordering::SeqCst) < AT_A_TIME.per_group {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(asker.ask(&quick_endpoint, question("quick", "mila")).await, Verdict::Allowed(_)));
    assert_eq!(slow.asked(), AT_A_TIME.per_group, "before any of these is answered");
    drop(held);
    let verdicts = futures_util::future::join_all(many).await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Ok(Verdict::Allowed(_)))), "each in its turn");
    assert_eq!(slow.most.load(Ordering::SeqCst), AT_A_TIME.per_group, "never more at a time");
}

#[tokio::test]
async fn what_was_never_asked_is_told_from_an_application_s_silence() {
    let silent = application(http("200 OK", r#"{"allow": true}"#), Duration::from_secs(30)).await;
    let (asker, endpoint) = (asker(&[silent.port]), silent.endpoint());
    let all = (0..AT_A_TIME.per_member + AT_A_TIME.waiting_per_member + 10).map(|order| {
        let channel = Channel::new(format!("order:{order}")).unwrap();
        asker.ask(&endpoint, Question { channel, ..question("acme", "mila") })
    });
    let verdicts = futures_util::future::join_all(all).await;
    let count = |of| verdicts.iter().filter(|verdict| **verdict == of).count();
    assert_eq!(count(Verdict::Unavailable), silent.asked());
    assert!(silent.asked() >= AT_A_TIME.per_member, "{}", silent.asked());
    assert!(count(Verdict::Busy) >= 10 && count(Verdict::Busy) + silent.asked() == verdicts.len());
}
