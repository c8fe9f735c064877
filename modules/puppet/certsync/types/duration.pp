# @summary A duration as certsync writes it, such as `90s`, `10m`, `6h` or `2d`.
type Certsync::Duration = Pattern[/\A[0-9]+(s|m|h|d)\z/]
