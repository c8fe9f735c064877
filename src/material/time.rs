//! Times as an operator reads them.

/// Unix seconds as `2027-02-19 10:11:12 UTC`.
pub fn utc(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar: counted in eras of 400 years
/// that begin on 1 March, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// How long `end` is away from `now`, in whole days: `90 days left`, `expired 3 days ago`.
pub(super) fn left(end: i64, now: i64) -> String {
    let days = |seconds: i64| match seconds / 86_400 {
        0 => String::from("less than a day"),
        1 => String::from("1 day"),
        n => format!("{n} days"),
    };
    match end.saturating_sub(now) {
        rest if rest < 0 => format!("expired {} ago", days(rest.saturating_neg())),
        rest => format!("{} left", days(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::{left, utc};

    #[test]
    fn a_time_is_printed_in_utc() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_803_031_872, "2027-02-19 10:11:12 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(utc(seconds), text);
        }
        let _no_overflow = (utc(i64::MAX), utc(i64::MIN));
    }

    #[test]
    fn days_left_are_whole_days() {
        assert_eq!(left(86_400 * 90 + 5, 0), "90 days left");
        assert_eq!(left(86_400, 0), "1 day left");
        assert_eq!(left(5, 0), "less than a day left");
        assert_eq!(left(0, 5), "expired less than a day ago");
        assert_eq!(left(0, 86_400 * 3), "expired 3 days ago");
    }
}
