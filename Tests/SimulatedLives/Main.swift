import ClusterRuntime
import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import Simulation
import SystemPackage
import TestSupport

/// Lives the lives of many clusters, and makes one of a thousand hosts: `SimulatedLives 1000` lives those with the numbers 0 to
/// 999, `SimulatedLives 17..17` the one with the number 17 again, and no large one.
@main
enum Main {
    static func main() async throws {
        let seeds = try seeds(CommandLine.arguments.dropFirst().first ?? "1000")
        let start = ContinuousClock.now
        let scratch = try Scratch()
        let store = try await SimulatedImage.store(scratch.path.appending("store"))
        let authorities = scratch.path.appending("authorities")
        try await BlockingPool.shared.run {
            for file in try ClusterAuthorities(years: 10).files {
                let path = authorities.appending(FilePath(file.path).components)
                try Folder.make(path.removingLastComponent())
                try AtomicFile.write(file.bytes, to: path, permissions: .ownerReadWrite)
            }
        }
        let path = scratch.path
        var broken = 0
        await withTaskGroup(of: (any Error)?.self) { group in
            var waiting = seeds.makeIterator()
            func begin() {
                guard let seed = waiting.next() else { return }
                group.addTask {
                    let state = path.appending("state-\(seed)")
                    // Some make their own.
                    let life = ClusterLife(
                        seed: seed, store: store, state: state, authorities: seed % 25 == 0 ? nil : authorities)
                    do {
                        try await life.run()
                        try await BlockingPool.shared.run { try Folder.delete(state) }
                        return nil
                    } catch let promise as ClusterLife.BrokenPromise {
                        return promise
                    } catch {
                        return ClusterLife.BrokenPromise(seed: seed, what: "\(error)")
                    }
                }
            }
            // More than there are processors: each waits for disks now and then.
            for _ in 0..<4 * max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) { begin() }
            for await failure in group {
                if let failure {
                    broken += 1
                    print(failure)
                }
                begin()
            }
        }
        let took = ContinuousClock.now - start
        print("\(seeds.count) lives in \(took.components.seconds) s, \(broken) broken")
        if seeds.first == 0 { try await makeLargeFleet(store, path.appending("large")) }
        guard broken == 0 else { exit(1) }
    }

    private static func makeLargeFleet(_ store: ImageStore, _ state: FilePath) async throws {
        let start = ContinuousClock.now
        let steps = try await LargeFleet.make(store: store, state: state)
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        print(
            "1000 hosts, \(steps) steps in \((ContinuousClock.now - start).components.seconds) s; at most "
                + "\(usage.ru_maxrss / 1024) MiB of memory in all")
    }

    private static func seeds(_ text: String) throws -> [UInt64] {
        let ends = text.split(separator: ".", omittingEmptySubsequences: true).compactMap { UInt64($0) }
        switch ends.count {
        case 1 where !text.contains("."): return Array(0..<ends[0])
        case 2 where ends[0] <= ends[1]: return Array(ends[0]...ends[1])
        default:
            print("a number of lives, or the first and the last one's seed with .. between them, was expected: \(text)")
            exit(64)
        }
    }
}
