import FoundationEssentials
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

/// The executable is killed at seeded instants of each command that changes a store. Whenever that is, the store has no fault
/// afterwards, and the same command, given again, does what it should have done; what it had brought over the network before is
/// not sent again.
@Suite(
    "Killed at any moment", .serialized,
    .enabled(if: CrashBench.executable != nil, "SEALER_TEST_EXECUTABLE is not set; make test sets it"))
struct CrashTests {
    /// How often each command is killed; `SEALER_CRASH_SEEDS` is the number for all of them together.
    private static var seedsEach: Int {
        let all = ProcessInfo.processInfo.environment["SEALER_CRASH_SEEDS"].flatMap { Int($0) } ?? 200
        return max(1, (all + CrashBench.Command.allCases.count - 1) / CrashBench.Command.allCases.count)
    }

    @Test("a store stays whole, and the command succeeds the next time", arguments: CrashBench.Command.allCases)
    func killed(command: CrashBench.Command) async throws {
        // What goes over the network has a blob that is large beside what may be sent twice.
        let bench = try await CrashBench(
            layers: command.isTransfer ? [40_000_000, 3_000_000, 3_000_000] : [3_000_000, 3_000_000, 3_000_000])
        // How long it takes when nobody kills it; the second time, when its files are in memory.
        var whole = Duration.zero
        for round in 0..<2 {
            let folder = try await bench.prepare(command, "whole-\(round)")
            whole = try await ContinuousClock().measure { try await bench.run(command, in: folder) }
            try await bench.verify(command, in: folder)
            try Folder.delete(folder)
        }
        var killed = 0
        var midway = 0
        var mostTwice: Int64 = 0
        for seed in 0..<Self.seedsEach {
            var random = SeededGenerator(seed: UInt64(seed))
            let life = whole * Double.random(in: 0...1, using: &random)
            let folder = try await bench.prepare(command, "seed-\(seed)")
            let before = try await bench.traffic()
            let wasKilled = try await bench.run(command, in: folder, killedAfter: life) == nil
            if wasKilled { killed += 1 }
            // The machine is now more, now less busy than when the whole was measured: stay near what it takes now.
            whole = whole * (wasKilled ? 1.05 : 0.9)
            let what = "\(command), seed \(seed), killed after \(life.inWords)"
            try await bench.check(in: folder, what)
            let between = try await bench.traffic()
            let kept = try await bench.kept(in: folder)
            try await bench.run(command, in: folder)
            let after = try await bench.traffic()
            let twice = bench.expectLittleTwice(command, kept, first: between - before, second: after - between, what)
            if (1..<bench.blobBytes).contains((between - before).all) { midway += 1 }
            mostTwice = max(mostTwice, twice)
            try await bench.verify(command, in: folder)
            try Folder.delete(folder)
        }
        // Otherwise the test would test nothing.
        #expect(killed > Self.seedsEach / 4, "only \(killed) of \(Self.seedsEach) were killed before their end")
        if command.isTransfer {
            #expect(midway > 0 || Self.seedsEach < 20, "none was killed while it brought blobs over")
            print(
                "\(command): \(midway) of \(Self.seedsEach) were killed while they brought blobs over;"
                    + " at most \(mostTwice) of \(bench.blobBytes) bytes went twice")
        }
        await bench.stop()
    }
}
