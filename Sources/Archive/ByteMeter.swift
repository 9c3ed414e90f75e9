import LinuxSystem

/// Counts the bytes of a long piece of work: asks for cancellation at each chunk, and reports now and then.
struct ByteMeter {
    private let cancellation: CancellationFlag?
    private let report: ((Int64) -> Void)?
    private(set) var total: Int64 = 0
    private var reported: Int64 = 0

    init(_ cancellation: CancellationFlag?, _ report: ((Int64) -> Void)?) {
        self.cancellation = cancellation
        self.report = report
    }

    mutating func add(_ count: Int) throws {
        try cancellation?.check()
        total += Int64(count)
        if total - reported >= 1 << 20 { tell() }
    }

    mutating func finish() {
        if total > reported { tell() }
    }

    private mutating func tell() {
        reported = total
        report?(total)
    }
}
