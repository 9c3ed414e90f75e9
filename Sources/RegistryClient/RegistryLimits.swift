/// The bounds of the client's waits, retries and sizes; tests make them small.
public struct RegistryLimits: Hashable, Sendable {
    /// For a connection, with its name look-up and TLS.
    public var connect: Duration = .seconds(10)
    /// From the request until the head of the reply.
    public var head: Duration = .seconds(30)
    /// For the next bytes of a body: when fewer than `stallBytes` arrive in this time, the registry has stalled.
    public var stall: Duration = .seconds(30)
    /// What must arrive within `stall`, in bytes, unless the body ends.
    public var stallBytes: Int64 = 1024
    /// How often a request is made when the connection breaks or the registry is overloaded.
    public var attempts = 3
    /// The wait before the second attempt; it doubles from there, give or take a half.
    public var backoff: Duration = .milliseconds(500)
    /// The longest wait before another attempt, whatever `Retry-After` says.
    public var longestBackoff: Duration = .seconds(30)
    /// How many redirects are followed.
    public var redirects = 5
    /// How long a registry that could not be reached is tried last instead of in its turn.
    public var avoidUnreachable: Duration = .seconds(60)
    /// Blobs from this size on, in bytes, are received so that a later attempt, or another process, can go on with them.
    public var resumableSize: Int64 = 1 << 20
    /// How long another process that receives the same blob may get nothing before we give up.
    public var partialPatience: Duration = .seconds(60)
    /// Blobs larger than this, in bytes, are sent in chunks of this size.
    public var chunkSize: Int64 = 64 << 20
    /// For the answer to an upload, after its last byte: registries check and move what they got.
    public var uploadAnswer: Duration = .seconds(300)
    /// For a credential helper, which may ask the user something.
    public var helper: Duration = .seconds(30)
    /// When a large blob is fetched by several requests at once.
    public var ranges = RangePolicy()

    /// The limits for everyday use.
    public init() {}

    /// The wait after an attempt that failed: what the server wished, else one that doubles, give or take a half, so that many
    /// clients do not come back together.
    func delay(after attempt: Int, wish: Duration?) -> Duration {
        let delay = backoff * (1 << min(max(attempt, 1) - 1, 16)) * Double.random(in: 0.5...1.5)
        return min(max(wish ?? delay, .zero), longestBackoff)
    }
}

/// When and how a large blob is fetched in several ranges at once: where a registry, or the way to it, gives each connection only
/// so much.
public struct RangePolicy: Hashable, Sendable {
    /// At least so many bytes must be missing.
    public var minimum: Int64 = 64 << 20
    /// The size of a range, in bytes; each is in memory until those before it are written.
    public var size: Int64 = 4 << 20
    /// How many ranges are fetched at once.
    public var width = 4
    /// So many bytes come in one stream first, and as many in ranges, to see which is faster.
    public var probe: Int64 = 16 << 20
    /// A stream with more bytes a second than this is fast enough.
    public var enough: Double = 100 * 1_048_576
    /// With more downloads than this at once, the way is full without ranges.
    public var downloads = 2

    /// The policy for everyday use.
    public init() {}
}
