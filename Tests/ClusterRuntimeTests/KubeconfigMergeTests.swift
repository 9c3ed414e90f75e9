import ClusterRuntime
import Report
import TestSupport
import Testing
import YAML

@Suite("A kubeconfig that is merged into another")
struct KubeconfigMergeTests {
    /// What kubeadm writes.
    static func own(server: String = "https://10.0.0.2:6443", key: String = "S0VZ") -> String {
        """
        apiVersion: v1
        clusters:
        - cluster:
            certificate-authority-data: Q0E=
            server: \(server)
          name: kubernetes
        contexts:
        - context:
            cluster: kubernetes
            user: kubernetes-admin
          name: kubernetes-admin@kubernetes
        current-context: kubernetes-admin@kubernetes
        kind: Config
        preferences: {}
        users:
        - name: kubernetes-admin
          user:
            client-certificate-data: Q0VSVA==
            client-key-data: \(key)

        """
    }

    private static let others = """
        # mine
        apiVersion: v1
        kind: Config
        preferences:
          colors: true
        users:
        - name: shop-admin
          user:
            token: old
        - name: ann
          user:
            token: "0123"
        current-context: work
        contexts:
        - name: work
          context: {cluster: office, user: ann, namespace: team}
        - context:
            cluster: gone
            user: gone
          name: shop
        clusters:
        - name: office
          cluster:
            server: https://office.example.org
        - name: shop
          cluster:
            server: https://old.example.org:6443
        extensions: []

        """

    private func merge(_ name: String = "shop", _ text: String = own()) throws -> KubeconfigMerge {
        try KubeconfigMerge(text, file: "admin.conf", name: name)
    }

    @Test("begins a new one with the cluster's own names")
    func new() throws {
        let expected = """
            apiVersion: v1
            kind: Config
            clusters:
            - name: shop
              cluster:
                certificate-authority-data: Q0E=
                server: https://10.0.0.2:6443
            contexts:
            - name: shop
              context:
                cluster: shop
                user: shop-admin
            current-context: shop
            users:
            - name: shop-admin
              user:
                client-certificate-data: Q0VSVA==
                client-key-data: S0VZ

            """
        for text in [nil, "", "# nothing yet\n", "---\n", "{}\n"] {
            let merged = try #require(try merge().merged(into: text, file: "config", setsCurrent: true))
            #expect(
                try YAMLDocuments.parseOne(merged, file: "merged") == YAMLDocuments.parseOne(expected, file: "expected")
            )
        }
    }

    @Test("replaces entries of the same names at their place, and leaves all else as it was")
    func replaces() throws {
        let merged = try #require(try merge().merged(into: Self.others, file: "config", setsCurrent: true))
        let expected = """
            apiVersion: v1
            kind: Config
            preferences:
              colors: true
            users:
            - name: shop-admin
              user:
                client-certificate-data: Q0VSVA==
                client-key-data: S0VZ
            - name: ann
              user:
                token: "0123"
            current-context: shop
            contexts:
            - name: work
              context: {cluster: office, user: ann, namespace: team}
            - name: shop
              context:
                cluster: shop
                user: shop-admin
            clusters:
            - name: office
              cluster:
                server: https://office.example.org
            - name: shop
              cluster:
                certificate-authority-data: Q0E=
                server: https://10.0.0.2:6443
            extensions: []

            """
        #expect(
            try YAMLDocuments.parseOne(merged, file: "merged") == YAMLDocuments.parseOne(expected, file: "expected"))
    }

    @Test("leaves the context that kubectl uses alone when that is asked for")
    func keepsContext() throws {
        let merged = try #require(try merge().merged(into: Self.others, file: "config", setsCurrent: false))
        #expect(try YAMLDocuments.parseOne(merged, file: "merged")["current-context"]?.string == "work")
        let new = try #require(try merge().merged(into: nil, file: "config", setsCurrent: false))
        #expect(try YAMLDocuments.parseOne(new, file: "new")["current-context"] == nil)
    }

    @Test("has nothing to do the second time, until the cluster's own has changed")
    func again() throws {
        let once = try #require(try merge().merged(into: Self.others, file: "config", setsCurrent: true))
        #expect(try merge().merged(into: once, file: "config", setsCurrent: true) == nil)
        // kubectl writes the two keys of an entry the other way round.
        let body = "cluster:\n      certificate-authority-data: Q0E=\n      server: https://10.0.0.2:6443\n"
        let sorted = once.replacing("  - name: shop\n    \(body)", with: "  - \(body)    name: shop\n")
        try #require(sorted != once)
        #expect(try merge().merged(into: sorted, file: "config", setsCurrent: true) == nil)
        let renewed = try merge("shop", Self.own(key: "TkVX")).merged(into: once, file: "config", setsCurrent: true)
        #expect(renewed?.contains("TkVX") == true)
        #expect(renewed?.contains("S0VZ") == false)
    }

    @Test("names that look like numbers stay names")
    func numbers() throws {
        let merged = try #require(try merge("007").merged(into: nil, file: "config", setsCurrent: true))
        let document = try YAMLDocuments.parseOne(merged, file: "merged")
        #expect(document["current-context"]?.string == "007")
        #expect(document["contexts"]?.sequence?.first?.at("context", "cluster")?.string == "007")
        #expect(try merge("007").merged(into: merged, file: "config", setsCurrent: true) == nil)
    }

    @Test(
        "refuses what is no kubeconfig, by its place",
        arguments: [
            ("apiVersion: v1\nkind: Pod\n", "config:2:7: "), ("- a\n", "config:1:1: "), ("text\n", "config:1:1: "),
            ("a: 1\n", "config:1:1: "), ("apiVersion: v1\nkind: Config\nclusters: {}\n", "config:3:11: "),
            ("kind: Config\nusers:\n- user: {}\n", "config:3:3: "),
            ("kind: Config\n---\nkind: Config\n", "config:3:1: "),
            ("apiVersion: v2\nkind: Config\n", "config:1:13: "), ("kind: [\n", "config:"),
        ])
    func refuses(text: String, place: String) throws {
        let error = #expect(throws: InvalidText.self) {
            try merge().merged(into: text, file: "config", setsCurrent: true)
        }
        #expect(error?.description.hasPrefix(place) == true, "\(error?.description ?? "")")
    }

    @Test("refuses an own kubeconfig that lacks what it names", arguments: ["clusters", "contexts", "users"])
    func broken(list: String) throws {
        var document = try #require(try YAMLDocuments.parseOne(Self.own(), file: "admin.conf").mapping)
        document[list] = []
        let text = YAMLNode(document).text
        #expect(throws: Failure.self) { try merge("shop", text) }
    }

    @Test("never touches what belongs to others, whatever is there", arguments: 0..<UInt64(200))
    func property(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let names = ["a", "b", "c", "shop", "shop-admin", "007", "yes", "a: b", "ü #"]
        func entries(_ key: String) -> YAMLNode {
            let count = Int.random(in: 0...6, using: &generator)
            let node = YAMLNode(
                (0..<count).map { _ -> YAMLNode in
                    let name = names.randomElement(using: &generator) ?? "a"
                    let value: YAMLNode = ["server": .init("https://\(Int.random(in: 0...9, using: &generator))")]
                    let pairs: [(String, YAMLNode)] = [("name", YAMLNode(name)), (key, value)]
                    return YAMLNode(YAMLMapping(Bool.random(using: &generator) ? pairs : pairs.reversed()))
                })
            return count == 0 && Bool.random(using: &generator) ? .null : node
        }
        var fields: [(String, YAMLNode)] = [
            ("apiVersion", "v1"), ("kind", "Config"), ("clusters", entries("cluster")), ("users", entries("user")),
            ("contexts", entries("context")), ("current-context", "a"), ("preferences", ["x": 1]), ("more", [1, 2]),
        ].filter { $0.0 == "clusters" || Bool.random(using: &generator) }
        fields.shuffle(using: &generator)
        let before = YAMLNode(YAMLMapping(fields))
        let merge = try merge()
        let text = try merge.merged(into: before.text, file: "config", setsCurrent: true) ?? before.text
        let after = try YAMLDocuments.parseOne(text, file: "after")
        // One of each, and it is ours.
        #expect(try merge.merged(into: text, file: "config", setsCurrent: true) == nil)
        for (list, name) in [("clusters", "shop"), ("contexts", "shop"), ("users", "shop-admin")] {
            func foreign(_ document: YAMLNode) -> [YAMLNode] {
                (document[list]?.sequence ?? []).filter { $0["name"]?.string != name }
            }
            #expect(foreign(after) == foreign(before))
            #expect(after[list]?.sequence?.count { $0["name"]?.string == name } == 1)
        }
        for (key, value) in fields where key == "more" || key == "preferences" { #expect(after[key] == value) }
        let order = after.mapping?.entries.map(\.key).filter { key in fields.contains { $0.0 == key } }
        #expect(order == fields.map(\.0))
    }
}
