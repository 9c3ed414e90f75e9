import Report

/// What is going on at present, as far as the events told. Text of strangers is made safe here, before any display sees it.
struct ProgressBoard {
    /// A running step.
    struct Entry: Equatable {
        let id: StepID
        let title: String
        let host: String?
        let started: Duration
        var completed: Int64 = 0
        var total: Int64?
        var unit: ProgressUnit = .items
        var note: String?

        /// `title (host)`.
        var name: String { host.map { "\(title) (\($0))" } ?? title }

        /// `45 %  12.3 MB of 27.1 MB`, or nil when nothing was told.
        var amount: String? {
            func words(_ number: Int64) -> String { unit == .bytes ? ByteCount(number).inWords : "\(number)" }
            guard completed > 0 || total != nil else { return nil }
            guard let total else { return words(completed) }
            let amount = "\(words(completed)) of \(words(total))"
            guard unit == .bytes, total > 0 else { return amount }
            // Never 100 % before the step says that it is done.
            let percent = min(max(Double(completed) / Double(total) * 100, 0), 99)
            return "\(Int(percent)) %  \(amount)"
        }
    }

    /// What an event changed.
    enum Change {
        case started(Entry)
        case advanced(Entry)
        case note(Entry, String)
        case finished(Entry, detail: String?)
        case failed(Entry, message: String)
        case warning(String)
    }

    /// The running steps, the longest running first.
    private(set) var running: [Entry] = []

    /// Takes an event; nil when it belongs to a step that is not running.
    mutating func apply(_ event: ProgressEvent, at now: Duration) -> Change? {
        switch event {
        case .started(let id, let title, let host):
            let entry = Entry(id: id, title: TerminalText.line(title), host: host.map(TerminalText.line), started: now)
            running.append(entry)
            return .started(entry)
        case .advanced(let id, let completed, let total, let unit):
            return change(id) { entry in
                (entry.completed, entry.total, entry.unit) = (completed, total, unit)
                return .advanced(entry)
            }
        case .note(let id, let text):
            return change(id) { entry in
                let note = TerminalText.lastState(text)
                entry.note = note
                return .note(entry, note)
            }
        case .finished(let id, let detail):
            return remove(id).map { .finished($0, detail: detail.map(TerminalText.line)) }
        case .failed(let id, let message):
            return remove(id).map { .failed($0, message: TerminalText.block(message)) }
        case .warning(let text):
            return .warning(TerminalText.block(text))
        }
    }

    private mutating func change(_ id: StepID, _ edit: (inout Entry) -> Change) -> Change? {
        guard let index = running.firstIndex(where: { $0.id == id }) else { return nil }
        return edit(&running[index])
    }

    private mutating func remove(_ id: StepID) -> Entry? {
        running.firstIndex { $0.id == id }.map { running.remove(at: $0) }
    }
}
