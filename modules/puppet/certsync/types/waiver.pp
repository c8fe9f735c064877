# @summary One refusal that is waived, as `SET=WORD`.
type Certsync::Waiver = Pattern[/\A[^=\s]+=[a-z-]+\z/]
