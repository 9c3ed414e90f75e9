import CLinux

/// A queue of blocking work with threads of its own. A concurrent `DispatchQueue` on Linux gives work that blocks a further
/// thread only once a second.
public final class WorkQueue: Sendable {
    private final class Job: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    // A C object with a lock of its own; this class is its only owner.
    private nonisolated(unsafe) let pool: OpaquePointer

    /// Makes a queue that runs at most `width` pieces of work at once; with 1, one after the other, in order.
    public init(width: Int = 1) {
        pool = sealer_pool_create(UInt32(clamping: width))
    }

    /// Work that was handed over is still done.
    deinit { sealer_pool_close(pool) }

    /// Hands work over and returns.
    public func async(_ work: @escaping @Sendable () -> Void) {
        sealer_pool_submit(
            pool,
            { box in
                guard let box else { return }
                Unmanaged<Job>.fromOpaque(box).takeRetainedValue().run()
            },
            Unmanaged.passRetained(Job(work)).toOpaque()
        )
    }
}
