//! A projection over a log in memory: what it carries out, and that it goes on under a flood of erasures.

use std::sync::Arc;

use eventwall_hub::{Hub, HubConfig, PageLimit, Start};
use eventwall_log::{
    AppendOptions, EventId, Filter, MemoryLog, MemoryState, NewEvent, Position, Topic,
};
use eventwall_server::{App, Settings};
use tokio::time::{Duration, timeout};

use super::{EDIT, Edit, Projection, Projections, REMOVE, Removal};

const DEADLINE: Duration = Duration::from_secs(60);

struct Ground {
    app: Arc<App>,
    projections: Projections,
    topic: Topic,
}

impl Ground {
    fn new() -> Self {
        let hub = Hub::new(Arc::new(MemoryLog::default()), &HubConfig::default());
        let app = Arc::new(App::new(hub, Settings::default()));
        let projections = Projections::new(app.clone(), Arc::new(MemoryState::default()));
        Self { app, projections, topic: "walls/test".parse().unwrap() }
    }

    async fn publish(&self, topic: &Topic, name: Option<&str>, data: String) -> EventId {
        let event = NewEvent { event: name.map(Into::into), ..NewEvent::new(topic.clone(), data) };
        let published = self.app.hub.publish(event.into(), AppendOptions::default()).await;
        published.unwrap().ids.remove(0)
    }

    async fn post(&self, words: &str) -> EventId {
        self.publish(&self.topic, None, words.into()).await
    }

    async fn edit(&self, post: &EventId, words: &str) -> EventId {
        let edit = Edit { post: post.to_string(), event: "message".into(), data: words.into() };
        self.publish(&self.topic, Some(EDIT), serde_json::to_string(&edit).unwrap()).await
    }

    async fn remove(&self, post: &EventId) -> EventId {
        let removal = serde_json::to_string(&Removal { post: post.to_string() }).unwrap();
        self.publish(&self.topic, Some(REMOVE), removal).await
    }

    /// What the log has of the wall.
    async fn log(&self) -> Vec<Position> {
        let filter = Filter::topics([self.topic.clone()]);
        let page = self.app.hub.page(filter, &Start::Since(0), PageLimit::events(1_000)).await;
        page.unwrap().events.iter().map(|event| event.position()).collect()
    }

    async fn until_log_is(&self, expected: &[&EventId]) {
        let expected: Vec<_> = expected.iter().map(|id| id.position).collect();
        let same = async {
            while self.log().await != expected {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        assert!(timeout(DEADLINE, same).await.is_ok(), "{:?}, not {expected:?}", self.log().await);
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_left_half_done_is_carried_out() {
    let ground = Ground::new();
    let [kept, gone] = [ground.post("kept").await, ground.post("gone").await];
    let superseded = ground.edit(&kept, "between").await;
    ground.edit(&gone, "gone, too").await;
    let last = ground.edit(&kept, "as it is").await;
    let removal = ground.remove(&gone).await;
    let late = ground.edit(&gone, "too late").await;
    assert_eq!(ground.log().await.len(), 7);
    let live = ground.projections.of(&ground.topic);
    live.once_at(Position(0), |_| ()).await.unwrap();
    let condemned = live.look().condemned(10);
    assert!(condemned.contains(&superseded.position) && condemned.contains(&late.position));
    assert_eq!(condemned.len(), 4, "{condemned:?}");
    ground.until_log_is(&[&kept, &last, &removal]).await;
    let left = async {
        while !live.look().condemned(1).is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(timeout(DEADLINE, left).await.is_ok(), "what is erased is condemned no more");
    assert_eq!(live.look().edit_of(kept.position), Some(last));
}

#[tokio::test]
async fn the_edit_of_a_post_that_is_erased_before_its_removal_is_folded_goes_too() {
    let ground = Ground::new();
    let live = ground.projections.of(&ground.topic);
    let post = ground.post("first words").await;
    let edit = ground.edit(&post, "second words").await;
    let last = live.once_at(edit.position, |wall| wall.edit_of(post.position)).await;
    assert_eq!(last, Some(Some(edit.clone())));
    ground.app.hub.erase(vec![post.position]).await.unwrap();
    let removal = ground.remove(&post).await;
    live.once_at(removal.position, |_| ()).await.unwrap();
    // The erasure and the removal are heard in any order.
    let look = |wall: &Projection| (wall.condemned_of(post.position), wall.has(post.position));
    let same = async {
        while live.seen(look) != Some((vec![edit.position], false)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(DEADLINE, same).await.is_ok(), "{:?}", live.seen(look));
}

#[tokio::test]
async fn erasures_of_others_do_not_keep_it_from_going_on() {
    let ground = Ground::new();
    let other: Topic = "other".parse().unwrap();
    let live = ground.projections.of(&ground.topic);
    live.once_at(Position(0), |_| ()).await.unwrap();
    let hub = ground.app.clone();
    let elsewhere = ground.publish(&other, None, "x".into()).await.position;
    let flood = tokio::spawn(async move {
        loop {
            hub.hub.erase(vec![elsewhere]).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    for i in 0..100 {
        let post = ground.post(&format!("post {i}")).await;
        let seen = live.once_at(post.position, |wall| wall.has(post.position)).await;
        assert_eq!(seen, Some(true), "{i}");
    }
    flood.abort();
}
