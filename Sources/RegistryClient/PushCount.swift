import OCI
import Report
import Synchronization

/// Adds up what a push did, for its progress and its result.
final class PushCount: Sendable {
    private let step: Step
    private let total: Int64
    private let sums = Mutex(Sums())

    private struct Sums {
        var done: Int64 = 0
        var sentBlobs: [Descriptor] = []
        var presentBlobs = 0
        var mountedBlobs = 0
        var sentDocuments = 0
        var sentBytes: Int64 = 0
        var presentBytes: Int64 = 0
        var mountedBytes: Int64 = 0
    }

    init(total: Int64, step: Step) {
        self.total = total
        self.step = step
        step.advance(0, of: total)
    }

    private func change(_ change: (inout Sums) -> Void) {
        // Told under the lock: the last that is told is the last that was counted.
        sums.withLock { sums in
            change(&sums)
            step.advance(sums.done, of: total)
        }
    }

    /// Bytes are there already.
    func have(_ bytes: Int64, blobs: Int) {
        change { sums in
            sums.done += bytes
            sums.presentBytes += bytes
            sums.presentBlobs += blobs
        }
        if blobs > 0 { step.note("the registry has \(bytes) of \(total) bytes already") }
    }

    /// Bytes go out, or go back when they have to be sent again.
    func sending(_ bytes: Int64) { change { $0.done += bytes } }

    func delivered(_ blob: Descriptor, _ delivery: Delivery) {
        change { sums in
            switch delivery {
            case .present:
                sums.done += blob.size
                sums.presentBlobs += 1
                sums.presentBytes += blob.size
            case .mounted:
                sums.done += blob.size
                sums.mountedBlobs += 1
                sums.mountedBytes += blob.size
            case .sent:
                sums.sentBlobs.append(blob)
                sums.sentBytes += blob.size
            }
        }
    }

    func put(_ bytes: Int64) {
        change { sums in
            sums.done += bytes
            sums.sentDocuments += 1
            sums.sentBytes += bytes
        }
    }

    func result(_ reference: Reference, _ descriptor: Descriptor) -> PushedImage {
        sums.withLock { sums in
            PushedImage(
                reference: reference,
                descriptor: descriptor,
                sentBlobs: sums.sentBlobs.sorted { ($0.size, $0.digest.hex) > ($1.size, $1.digest.hex) },
                presentBlobs: sums.presentBlobs,
                mountedBlobs: sums.mountedBlobs,
                sentDocuments: sums.sentDocuments,
                totalBytes: total,
                sentBytes: sums.sentBytes,
                presentBytes: sums.presentBytes,
                mountedBytes: sums.mountedBytes
            )
        }
    }
}
