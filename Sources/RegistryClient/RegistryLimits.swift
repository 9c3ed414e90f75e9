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

    /// The limits for everyday use.
    public init() {}
}
