import Glibc
import ImageStore
import LinuxSystem
import OCI
import RegistryServer
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// How many bytes of blobs went over the network.
struct BlobTraffic: Sendable, Equatable {
    /// From the registry.
    var sent: Int64 = 0
    /// To the registry.
    var received: Int64 = 0

    /// Both ways together.
    var all: Int64 { sent + received }

    static func - (a: BlobTraffic, b: BlobTraffic) -> BlobTraffic {
        BlobTraffic(sent: a.sent - b.sent, received: a.received - b.received)
    }
}

/// Adds up the bodies of requests for blobs and their replies, whole or cut off, from the registry's log.
final class BlobCounter: Sendable {
    private let state = Mutex(BlobTraffic())

    var sum: BlobTraffic { state.withLock { $0 } }

    func add(_ line: AccessLine) {
        guard line.target.contains("/blobs/") else { return }
        state.withLock { sum in
            // Of a reply that was cut off, the last MiB that was begun does not count.
            sum.sent += line.bytes
            sum.received += line.received
        }
    }
}

/// What a killed pull left of an image's blobs.
struct KeptBlobs: Sendable {
    /// Whole ones and parts together.
    var bytes: Int64 = 0
    /// How many are there in part.
    var open: Int64 = 0
}

extension CrashBench {
    /// Bytes of all blobs.
    var blobBytes: Int64 { blobs.reduce(0) { $0 + $1.size } }

    /// The blobs of a MiB and more: only these are gone on with. A smaller one is sent again whole.
    private var large: [Descriptor] { blobs.filter { $0.size >= 1 << 20 } }
    private var smallBytes: Int64 { blobs.reduce(0) { $0 + ($1.size < 1 << 20 ? $1.size : 0) } }

    /// Looks what is in the store of a folder.
    func kept(in folder: FilePath) async throws -> KeptBlobs {
        var kept = KeptBlobs()
        let store = folder.appending("store")
        for blob in blobs {
            var information = stat()
            let part = store.appending("ingest/\(blob.digest.algorithm.rawValue)-\(blob.digest.hex).partial")
            if stat(store.appending(blob.digest.layoutPath).string, &information) == 0 {
                kept.bytes += Int64(information.st_size)
            } else if stat(part.string, &information) == 0 {
                kept.bytes += Int64(information.st_size)
                kept.open += 1
            }
        }
        return kept
    }

    /// At most one chunk of each blob that was on its way when the process was killed is sent twice.
    ///
    /// The chunk of a pull is 2 MiB: so much of a blob is at most in the process's memory, a MiB that is gathered and one that is
    /// being written. What is written counts, synced or not: the kernel keeps it. What the kernel had taken from the registry and
    /// the process never read is lost too, and cannot be known; it is not more than the buffers of one connection can grow to.
    ///
    /// The chunk of a push is 1 MiB: so much the registry writes at a time at most, and what it has not written when the connection
    /// breaks it may lose. What was in the buffers of the connection still arrives. This is so where a registry keeps what it got,
    /// as ours does; one that forgets a part that was cut off gets all of that part again, at most 64 MiB.
    ///
    /// - Returns: how many bytes were sent twice.
    func expectLittleTwice(
        _ command: Command, _ kept: KeptBlobs, first: BlobTraffic, second: BlobTraffic, _ what: String
    ) -> Int64 {
        let twice: Int64
        switch command {
        case .pull:
            twice = first.sent + second.sent - blobBytes
            // Not a byte that is in the store comes again.
            #expect(second.sent == blobBytes - kept.bytes, "\(what): fetched again what was there")
            let chunk = 2 << 20 + socketBuffers
            #expect(twice <= kept.open * chunk + smallBytes, "\(what): \(twice) bytes came twice")
        case .push:
            twice = first.received + second.received - blobBytes
            #expect(twice <= Int64(large.count) << 20 + smallBytes, "\(what): \(twice) bytes were sent twice")
            #expect(twice >= 0, "\(what): the registry has more than it got")
        default:
            twice = 0
            #expect(first == BlobTraffic() && second == BlobTraffic(), "\(what): it spoke with a registry")
        }
        return twice
    }

    /// What the kernel holds of one connection at most: the third number of each of these files.
    private var socketBuffers: Int64 {
        var sum: Int64 = 0
        for name in ["tcp_rmem", "tcp_wmem"] {
            do {
                let text = String(decoding: try readFile(FilePath("/proc/sys/net/ipv4/\(name)")), as: UTF8.self)
                sum += text.split { $0.isWhitespace }.last.flatMap { Int64($0) } ?? 0
            } catch {
                Issue.record(error)
            }
        }
        return sum
    }
}
