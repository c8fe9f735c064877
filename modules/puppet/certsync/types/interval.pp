# @summary Minutes between two runs that cron can keep to at any hour: what an hour or a day is a multiple of.
type Certsync::Interval = Variant[
  Integer[1, 6], Integer[10, 10], Integer[12, 12], Integer[15, 15], Integer[20, 20], Integer[30, 30], Integer[60, 60],
  Integer[120, 120], Integer[180, 180], Integer[240, 240], Integer[360, 360], Integer[480, 480], Integer[720, 720], Integer[1440, 1440]
]
