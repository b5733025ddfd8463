//! `/v1/usage`: the account's usage.

use axum::extract;
use serde::{Deserialize, Serialize};
use skytale_store::{Day, DayUsage, Used};
use time::{Date, Duration, Month, OffsetDateTime};
use utoipa::{IntoParams, ToSchema};

use crate::caller::Caller;
use crate::error::{Problem, Result};
use crate::extract::{Body, Query};
use crate::state::State;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// A month, like `2026-02`; this one if it is left out.
    #[param(pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
    month: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UsageView {
    account_id: String,
    /// The month's first day.
    #[schema(format = Date, example = "2026-02-01")]
    period: String,
    token_exchanges: u64,
    messages_relayed: u64,
    bytes_relayed: u64,
    plan_tier: String,
    limits: Limits,
    /// The first day of the next month, when the limits begin again.
    #[schema(format = Date)]
    resets_on: String,
    /// The days on which something was used.
    daily: Vec<DayView>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Limits {
    /// How many messages the plan allows in a month; null is whatever one likes.
    messages_per_month: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DayView {
    #[schema(format = Date)]
    date: String,
    token_exchanges: u64,
    messages_relayed: u64,
    bytes_relayed: u64,
}

/// Show what was used in a month
#[utoipa::path(
    get, path = "/v1/usage", operation_id = "get_usage", tag = "usage", params(Wanted),
    responses((status = 200, body = UsageView), Problem),
)]
pub(crate) async fn show(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Body<UsageView>> {
    let first = match wanted.month {
        Some(text) => month(&text)?,
        None => {
            OffsetDateTime::from(api.0.clock.now()).date().replace_day(1).map_err(|_| Problem::internal())?
        }
    };
    let next = first + Duration::days(first.month().length(first.year()).into());
    let account = api.0.accounts.account(&caller.account).await?;
    let account = account.ok_or_else(|| Problem::not_found("the account is closed"))?;
    let days = api.0.usage.usage(&account.id, number(first), Day(number(next).0 - 1)).await?;
    let all: Used = days.iter().map(|day| day.used).sum();
    Ok(Body(UsageView {
        account_id: account.id,
        period: first.to_string(),
        token_exchanges: all.tokens,
        messages_relayed: all.messages,
        bytes_relayed: all.bytes,
        limits: Limits { messages_per_month: api.0.plans.get(&account.plan).copied().flatten() },
        plan_tier: account.plan,
        resets_on: next.to_string(),
        daily: days.into_iter().map(DayView::from).collect(),
    }))
}

impl From<DayUsage> for DayView {
    fn from(DayUsage { day, used }: DayUsage) -> Self {
        let date = OffsetDateTime::UNIX_EPOCH.date() + Duration::days(day.0.into());
        Self {
            date: date.to_string(),
            token_exchanges: used.tokens,
            messages_relayed: used.messages,
            bytes_relayed: used.bytes,
        }
    }
}

/// Reads the first day of a month, of 1970 or later.
fn month(text: &str) -> Result<Date> {
    let wrong = || Problem::bad_request("month is one like 2026-02");
    let (year, month) = text.split_once('-').filter(|_| text.len() == 7).ok_or_else(wrong)?;
    let year: i32 = year.parse().map_err(|_| wrong())?;
    let month: u8 = month.parse().map_err(|_| wrong())?;
    let month = Month::try_from(month).map_err(|_| wrong())?;
    if !(1970..=9998).contains(&year) {
        return Err(wrong());
    }
    Date::from_calendar_date(year, month, 1).map_err(|_| wrong())
}

fn number(date: Date) -> Day {
    Day((date - OffsetDateTime::UNIX_EPOCH.date()).whole_days().max(0) as u32)
}
