import Report

/// Builds nodes out of events, without recursion: a text cannot exhaust the stack.
struct Composer {
    /// A collection that is still open.
    private struct Open {
        var mark: YAMLMark
        var anchor: String?
        var items: [YAMLNode] = []
        var mapping: YAMLMapping?
        /// The key that waits for its value; for a key that is refused, the mark alone is kept.
        var key: (text: String, mark: YAMLMark, isMerge: Bool, isRefused: Bool)?
        /// Values of `<<`, which yield to the mapping's own keys and thus wait for its end.
        var merged: [YAMLNode] = []
        var hasMergeKey = false
        /// Nodes within, and how deep they go.
        var size = 1
        var height = 1
    }

    /// A node that aliases may name.
    private struct Anchored {
        var node: YAMLNode
        var size: Int
        var height: Int
    }

    private let file: String
    private let limits: YAMLLimits
    private var open: [Open] = []
    private var anchors: [String: Anchored] = [:]
    private var nodes = 0
    private var aliasedNodes = 0
    private var root: YAMLNode?

    /// The mistakes found so far.
    private(set) var diagnostics: [Diagnostic] = []

    /// More mistakes than this help nobody.
    private static let mostDiagnostics = 100

    init(file: String, limits: YAMLLimits) {
        self.file = file
        self.limits = limits
    }

    /// The documents of the text as far as they can be read.
    mutating func compose(_ text: String) -> [YAMLNode] {
        var documents: [YAMLNode] = []
        do throws(SyntaxError) {
            var parser = try EventParser(text)
            while true {
                let (event, mark) = try parser.next()
                switch event {
                case .streamEnd: return documents
                case .documentStart:
                    anchors = [:]
                    root = nil
                case .documentEnd:
                    if let root, root.scalar?.text != "" || root.scalar?.style != .plain { documents.append(root) }
                default: try take(event, mark)
                }
            }
        } catch {
            report(error.mark, error.message)
            return documents
        }
    }

    private mutating func take(_ event: Event, _ mark: YAMLMark) throws(SyntaxError) {
        switch event {
        case .scalar(let scalar, let anchor):
            try count(mark)
            complete(YAMLNode(.scalar(scalar), at: mark), anchor: anchor, size: 1, height: 1)
        case .sequenceStart(let anchor):
            try begin(Open(mark: mark, anchor: anchor))
        case .mappingStart(let anchor):
            try begin(Open(mark: mark, anchor: anchor, mapping: YAMLMapping()))
        case .sequenceEnd, .mappingEnd:
            end()
        case .alias(let name):
            try repeatAnchored(name, mark)
        case .streamEnd, .documentStart, .documentEnd:
            break
        }
    }

    private mutating func count(_ mark: YAMLMark) throws(SyntaxError) {
        nodes += 1
        guard nodes <= limits.nodes else {
            throw SyntaxError(mark: mark, message: "more than \(limits.nodes) nodes, the rest is not read")
        }
        guard diagnostics.count < Self.mostDiagnostics else {
            throw SyntaxError(mark: mark, message: "too many mistakes, the rest is not read")
        }
    }

    private mutating func begin(_ collection: Open) throws(SyntaxError) {
        try count(collection.mark)
        guard open.count < limits.depth else {
            throw SyntaxError(mark: collection.mark, message: "nested deeper than \(limits.depth) levels")
        }
        open.append(collection)
    }

    private mutating func end() {
        guard var collection = open.popLast() else { return }
        guard let mapping = collection.mapping else {
            let node = YAMLNode(.sequence(collection.items), at: collection.mark)
            return complete(node, anchor: collection.anchor, size: collection.size, height: collection.height)
        }
        var whole = mapping
        for node in collection.merged { merge(node, into: &whole) }
        collection.mapping = nil
        let node = YAMLNode(.mapping(whole), at: collection.mark)
        complete(node, anchor: collection.anchor, size: collection.size, height: collection.height)
    }

    private mutating func repeatAnchored(_ name: String, _ mark: YAMLMark) throws(SyntaxError) {
        guard let anchored = anchors[name] else {
            report(mark, "*\(name.prefix(60)) names no anchor (&\(name.prefix(60))) that stands before it")
            return complete(YAMLNode(YAMLNode.null.content, at: mark), anchor: nil, size: 1, height: 1)
        }
        aliasedNodes += anchored.size
        guard aliasedNodes <= limits.aliasedNodes else {
            throw SyntaxError(mark: mark, message: "aliases repeat more than \(limits.aliasedNodes) nodes")
        }
        guard open.count + anchored.height <= limits.depth else {
            throw SyntaxError(mark: mark, message: "nested deeper than \(limits.depth) levels")
        }
        complete(anchored.node, anchor: nil, size: anchored.size, height: anchored.height, at: mark)
    }

    /// Puts a finished node where it belongs.
    ///
    /// - Parameter place: where it stands when that differs from where its text is (an alias).
    private mutating func complete(
        _ node: YAMLNode,
        anchor: String?,
        size: Int,
        height: Int,
        at place: YAMLMark? = nil
    ) {
        if let anchor { anchors[anchor] = Anchored(node: node, size: size, height: height) }
        guard let last = open.indices.last else {
            root = node
            return
        }
        open[last].size += size
        open[last].height = max(open[last].height, height + 1)
        guard open[last].mapping != nil else {
            open[last].items.append(node)
            return
        }
        if let key = open[last].key {
            open[last].key = nil
            guard !key.isRefused else { return }
            if key.isMerge {
                addMerged(node, at: place ?? node.mark, to: last)
            } else {
                open[last].mapping?.append(YAMLMapping.Entry(key: key.text, keyMark: key.mark, value: node))
            }
        } else {
            takeKey(node, at: place ?? node.mark, of: last)
        }
    }

    private mutating func takeKey(_ node: YAMLNode, at mark: YAMLMark, of index: Int) {
        guard let scalar = node.scalar else {
            report(mark, "a key must be a word, here stands \(node.kindInWords): a template that was not rendered?")
            open[index].key = ("", mark, false, true)
            return
        }
        if scalar.style == .plain, scalar.text.isEmpty {
            report(mark, "a key is missing before the colon")
            open[index].key = ("", mark, false, true)
        } else if scalar.style == .plain, scalar.text == "<<" {
            let isRepeated = open[index].hasMergeKey
            if isRepeated { report(mark, "the merge key << stands twice in one mapping: give it a list") }
            open[index].hasMergeKey = true
            open[index].key = ("<<", mark, true, isRepeated)
        } else {
            let earlier = open[index].mapping?.entry(scalar.text)
            if let earlier {
                let line = earlier.keyMark.line
                report(mark, "the key \"\(scalar.text.prefix(80))\" stands twice, first in line \(line)")
            }
            open[index].key = (scalar.text, mark, false, earlier != nil)
        }
    }

    private mutating func addMerged(_ node: YAMLNode, at mark: YAMLMark, to index: Int) {
        let sources = node.sequence ?? [node]
        guard sources.allSatisfy({ $0.mapping != nil }) else {
            report(mark, "<< takes a mapping or a list of mappings, here stands \(node.kindInWords)")
            return
        }
        open[index].merged += sources
    }

    /// Earlier sources win over later ones, the mapping's own keys over all.
    private func merge(_ source: YAMLNode, into mapping: inout YAMLMapping) {
        for entry in source.mapping?.entries ?? [] { mapping.append(entry) }
    }

    private mutating func report(_ mark: YAMLMark, _ message: String) {
        diagnostics.append(Diagnostic(file: file, line: mark.line, column: mark.column, message: message))
    }
}
