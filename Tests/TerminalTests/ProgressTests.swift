import Glibc
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import Terminal

@Suite struct ProgressTests {
    let plainStyle = TerminalStyle(hasColor: false)

    @Test func noProgressStillShowsWarnings() {
        let terminal = FakeTerminal(columns: 80)
        let display = WarningsOnly(PlainProgress(terminal))
        let step = StepID()
        display.send(.started(step, title: "pull nginx", host: nil))
        display.send(.warning("a mirror has wrong bytes"))
        display.send(.finished(step, detail: nil))
        display.finish()
        #expect(terminal.lines.count == 1)
        #expect(terminal.lines.first?.hasSuffix("warning: a mirror has wrong bytes") == true)
    }

    // MARK: Frames

    @Test func aFrameShowsWhatRuns() {
        var board = ProgressBoard()
        let (pull, boot) = (StepID(), StepID())
        _ = board.apply(.started(pull, title: "pull nginx", host: "node-0"), at: .seconds(1))
        _ = board.apply(.started(boot, title: "boot", host: nil), at: .seconds(2))
        _ = board.apply(.advanced(pull, completed: 6_500_000, total: 27_100_000, unit: .bytes), at: .seconds(2))
        _ = board.apply(.note(boot, "waiting\rfor the API\u{1b}[31m server"), at: .seconds(2))
        let terminal = FakeTerminal(columns: 80)
        var frame = LiveFrame(style: plainStyle)
        terminal.write(frame.compose(scroll: [], running: board.running, now: .seconds(3), size: terminal.size))
        #expect(
            terminal.lines == [
                "⠋ pull nginx (node-0)  23 %  6.5 MB of 27.1 MB  2.0 s", "⠋ boot  1.0 s  for the API server",
            ])
        _ = board.apply(.finished(pull, detail: nil), at: .seconds(4))
        terminal.write(
            frame.compose(scroll: ["done"], running: board.running, now: .milliseconds(4150), size: terminal.size))
        #expect(terminal.lines == ["done", "⠙ boot  2.1 s  for the API server"])
        terminal.write(frame.compose(scroll: ["end"], running: [], now: .seconds(5), size: terminal.size))
        #expect(terminal.lines == ["done", "end"])
        #expect(terminal.column == 0)
    }

    @Test func aFrameFitsTheWindow() {
        var board = ProgressBoard()
        for number in 0..<20 {
            let id = StepID()
            _ = board.apply(
                .started(id, title: "a step with quite a long title 日本語 \(number)", host: "a-host"), at: .zero)
            _ = board.apply(.note(id, String(repeating: "remark ", count: 20)), at: .zero)
        }
        for columns in [1, 2, 5, 10, 20, 33, 40, 80, 200] {
            for rows in [1, 2, 5, 19, 20, 21, 30] {
                let terminal = FakeTerminal(columns: columns, rows: rows)
                var frame = LiveFrame(style: plainStyle)
                for second in 1...3 {
                    let size = terminal.size
                    terminal.write(frame.compose(scroll: [], running: board.running, now: .seconds(second), size: size))
                    let lines = terminal.lines
                    #expect(lines.count <= rows - 1, "\(columns)x\(rows)")
                    #expect(lines.allSatisfy { TerminalText.width($0) <= max(columns - 1, 1) }, "\(columns)x\(rows)")
                }
                if rows == 5, columns == 80 {
                    #expect(terminal.lines.last == "… and 17 more")
                }
            }
        }
    }

    @Test func aNarrowedWindowIsCleared() {
        var board = ProgressBoard()
        _ = board.apply(.started(StepID(), title: String(repeating: "long ", count: 10), host: nil), at: .zero)
        var frame = LiveFrame(style: plainStyle)
        _ = frame.compose(
            scroll: [], running: board.running, now: .seconds(1), size: TerminalSize(columns: 80, rows: 24))
        // The line of some 57 columns takes three rows of 20.
        let text = frame.compose(
            scroll: [], running: board.running, now: .seconds(1), size: TerminalSize(columns: 20, rows: 24))
        #expect(text.hasPrefix("\r\u{1b}[3A\u{1b}[J"))
    }

    @Test func drawingHasItsPace() {
        #expect(DisplayQueue.delay(sinceLast: .zero) == .milliseconds(100))
        #expect(DisplayQueue.delay(sinceLast: .milliseconds(30)) == .milliseconds(70))
        #expect(DisplayQueue.delay(sinceLast: .seconds(3)) == .zero)
        #expect(DisplayQueue.delay(sinceLast: .seconds(-3)) == .milliseconds(100))
    }

    // MARK: Displays

    @Test func liveProgressLeavesACleanScreen() {
        let clock = FakeClock()
        let terminal = FakeTerminal()
        let live = LiveProgress(terminal, style: plainStyle, now: clock.now)
        let (good, bad, open) = (StepID(), StepID(), StepID())
        live.send(.started(good, title: "build", host: nil))
        live.send(.started(bad, title: "join", host: "node-1"))
        live.send(.started(open, title: "wait", host: nil))
        clock.advance(.milliseconds(12_340))
        live.send(.finished(good, detail: "12 layers"))
        live.send(.failed(bad, message: "node-1: kubelet does not answer\n  next: look at its log"))
        live.send(.warning("the disk is nearly full"))
        live.send(.advanced(good, completed: 1, total: 2, unit: .items))
        live.finish()
        #expect(
            terminal.lines == [
                "✓ build  12.3 s  12 layers", "✗ join (node-1)  12.3 s: node-1: kubelet does not answer",
                "warning: the disk is nearly full", "- wait  not finished after 12.3 s",
            ])
        #expect(terminal.column == 0)
        live.send(.warning("too late"))
        live.finish()
        #expect(!terminal.written.contains("too late"))
    }

    @Test func aQuestionHasTheTerminalForItself() async throws {
        let terminal = FakeTerminal()
        let live = LiveProgress(terminal, style: plainStyle)
        let (good, open) = (StepID(), StepID())
        live.send(.started(good, title: "build", host: nil))
        live.send(.started(open, title: "wait", host: nil))
        while !terminal.written.contains("wait") { await Task.yield() }
        await live.pause()
        #expect(terminal.lines == [])
        terminal.write("password of ann:")
        let before = terminal.written
        live.send(.finished(good, detail: "12 layers"))
        // Longer than it takes to draw.
        try await Task.sleep(for: DisplayQueue.interval * 4)
        #expect(terminal.written == before)
        terminal.write("\n")
        live.resume()
        while !terminal.written.contains("12 layers") { await Task.yield() }
        live.finish()
        #expect(terminal.lines.first == "password of ann:")
        #expect(terminal.lines.contains { $0.hasPrefix("✓ build") })
    }

    @Test func manyEventsAreFewDrawings() {
        let terminal = FakeTerminal()
        let live = LiveProgress(terminal, style: plainStyle)
        let id = StepID()
        live.send(.started(id, title: "unpack", host: nil))
        for count in 0..<20_000 { live.send(.advanced(id, completed: Int64(count), total: 20_000, unit: .items)) }
        live.finish()
        #expect(terminal.written.split(separator: "unpack").count < 2000)
        #expect(terminal.lines.count == 1)
    }

    @Test func colourIsOnlyThereWhenItMayBe() {
        #expect(TerminalStyle(environment: [:]).red("x") == "\u{1b}[31mx\u{1b}[0m")
        #expect(TerminalStyle(environment: ["NO_COLOR": ""]).red("x") == "\u{1b}[31mx\u{1b}[0m")
        #expect(TerminalStyle(environment: ["NO_COLOR": "1"]).red("x") == "x")
    }

    @Test(arguments: [
        (ProgressMode.auto, true, "xterm", ProgressMode.live), (.auto, true, "dumb", .plain), (.auto, true, "", .plain),
        (.auto, false, "xterm", .plain), (.live, true, "xterm", .live), (.live, true, "dumb", .plain),
        (.live, false, "xterm", .plain),
        (.plain, true, "xterm", .plain), (.none, true, "xterm", .none),
    ])
    func theModeFollowsTheTerminal(mode: ProgressMode, isTerminal: Bool, term: String, expected: ProgressMode) {
        #expect(mode.resolved(isTerminal: isTerminal, environment: term.isEmpty ? [:] : ["TERM": term]) == expected)
    }

    @Test func plainProgressIsALog() async throws {
        let clock = FakeClock()
        let output = CapturedOutput()
        let plain = PlainProgress(output, now: clock.now)
        let id = StepID()
        clock.advance(.milliseconds(12_340))
        plain.send(.started(id, title: "unpack rootfs", host: "demo-node-0"))
        clock.advance(.seconds(1))
        plain.send(.advanced(id, completed: 1_000_000, total: 10_000_000, unit: .bytes))
        clock.advance(.seconds(4))
        plain.send(.advanced(id, completed: 5_000_000, total: 10_000_000, unit: .bytes))
        clock.advance(.seconds(4))
        plain.send(.advanced(id, completed: 6_000_000, total: 10_000_000, unit: .bytes))
        plain.send(.note(id, "a line of \u{1b}[1moutput"))
        plain.send(.finished(id, detail: "120 files"))
        let bad = StepID()
        plain.send(.started(bad, title: "join", host: nil))
        plain.send(.failed(bad, message: "no answer\nmore"))
        plain.send(.warning("two\nlines"))
        plain.send(.started(StepID(), title: "never ends", host: nil))
        plain.finish()
        #expect(
            output.text == """
                [12.3s] demo-node-0: unpack rootfs …
                [17.3s] demo-node-0: unpack rootfs: 50 %  5.0 MB of 10.0 MB
                [21.3s] demo-node-0: unpack rootfs | a line of output
                [21.3s] demo-node-0: unpack rootfs: done in 9.0 s, 120 files
                [21.3s] join …
                [21.3s] join: failed after 0 ms: no answer
                [21.3s] warning: two
                [21.3s] lines
                [21.3s] never ends …
                [21.3s] never ends: not finished after 0 ms

                """)
    }

    @Test func aTerminalThatTakesNothingStopsNobody() throws {
        // A pipe that nobody reads is full after 64 KiB, and a write to it waits for ever.
        let (reading, writing) = try FileDescriptor.pipe()
        let plain = PlainProgress(DescriptorOutput(writing.rawValue))
        let id = StepID()
        plain.send(.started(id, title: "flood", host: nil))
        for number in 0..<50_000 { plain.send(.note(id, "line \(number) of a flood of output")) }
        plain.finish()
        // That this point is reached is the test. Then let the writer go.
        signal(SIGPIPE, SIG_IGN)
        try reading.close()
    }

    /// Counts how often it was stopped and let go on.
    private final class Paused: ProgressSink {
        let counts = Mutex((pauses: 0, returns: 0))
        func send(_ event: ProgressEvent) {}
        func pause() async { counts.withLock { $0.pauses += 1 } }
        func resume() { counts.withLock { $0.returns += 1 } }
    }

    @Test func aPauseConcernsAllDisplays() async {
        let displays = [Paused(), Paused()]
        let sink = CombinedProgress(displays)
        await sink.pause()
        #expect(displays.map { $0.counts.withLock { $0.pauses } } == [1, 1])
        sink.resume()
        #expect(displays.map { $0.counts.withLock { $0.returns } } == [1, 1])
    }

    @Test func stepsOfRealWorkAreRecorded() async throws {
        let clock = FakeClock()
        let record = RecordedProgress(now: clock.now)
        let sink = CombinedProgress([record, SilentProgress()])
        try await sink.step("init", host: "m0") { step in
            step.advance(1, of: 2)
            clock.advance(.seconds(20))
        }
        await #expect(throws: Failure.self) {
            try await sink.step("join", host: "n0") { _ in
                clock.advance(.seconds(3))
                throw Failure(.timeout, "no answer")
            }
        }
        sink.send(.started(StepID(), title: "wait", host: nil))
        let stages = record.times.stages
        #expect(stages.map(\.title) == ["init", "join", "wait"])
        #expect(stages.map(\.outcome) == [.finished, .failed, .running])
        #expect(stages.map(\.duration) == [.seconds(20), .seconds(3), .zero])
        #expect(stages.map(\.started) == [.zero, .seconds(20), .seconds(23)])
        #expect(
            record.times.table.text == """
                STAGE  HOST     TIME
                init   m0     20.0 s
                join   n0     failed
                wait   -     running

                """)
    }

    // MARK: The real thing

    @Test func aReaderThatWentAwayIsNoError() throws {
        signal(SIGPIPE, SIG_IGN)
        let (reading, writing) = try FileDescriptor.pipe()
        let output = DescriptorOutput(writing.rawValue)
        output.line("one")
        #expect(!output.isClosed)
        var buffer = [UInt8](repeating: 0, count: 10)
        #expect(try buffer.withUnsafeMutableBytes { try reading.read(into: $0) } == 4)
        try reading.close()
        output.line("two")
        #expect(output.isClosed)
        output.line("three")
        try writing.close()
    }

    @Test func onARealTerminalTheScreenIsCleanAtTheEnd() async throws {
        var (master, slave): (Int32, Int32) = (0, 0)
        var window = winsize(ws_row: 6, ws_col: 50, ws_xpixel: 0, ws_ypixel: 0)
        try #require(openpty(&master, &slave, nil, nil, &window) == 0)
        #expect(DescriptorTerminal(slave).size == TerminalSize(columns: 50, rows: 6))
        let display = ProgressMode.auto.display(on: slave, environment: ["TERM": "xterm", "NO_COLOR": "1"])
        #expect(display is LiveProgress)
        // Read as a terminal does, all the time.
        let reader = Task.detached { [master] in
            var bytes: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = Glibc.read(master, &buffer, buffer.count)
                guard count > 0 else { return bytes }
                bytes += buffer[..<count]
                if bytes.suffix(5).elementsEqual("END\r\n".utf8) { return bytes }
            }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<8 {
                group.addTask {
                    try await display.step("step \(number)", host: "node-\(number)") { step in
                        for part in 1...5 {
                            step.advance(Int64(part), of: 5, unit: .items)
                            try await Task.sleep(for: .milliseconds(400))
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        display.finish()
        DescriptorOutput(slave).line("END")
        let bytes = await reader.value
        close(slave)
        close(master)
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.contains("… and 4 more"))
        #expect(!text.contains("\u{1b}[?25l"), "a hidden cursor would stay hidden after kill -9")
        let terminal = FakeTerminal(columns: 50, rows: 6)
        terminal.write(text.replacing("\r\n", with: "\n"))
        let lines = terminal.lines
        #expect(lines.count == 9)
        #expect(lines.last == "END")
        #expect(lines.dropLast().allSatisfy { $0.hasPrefix("✓ step ") && $0.hasSuffix("s") })
    }
}
