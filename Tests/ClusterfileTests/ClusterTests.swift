import Clusterfile
import OCI
import Report
import TestSupport
import Testing

@Suite("Clusterfile")
struct ClusterTests {
    private func mistakes(_ text: String) -> [String] {
        do throws(InvalidText) {
            _ = try Cluster.parse(text)
            return []
        } catch {
            return error.diagnostics.map(\.description)
        }
    }

    /// A right Clusterfile with some lines of its specification exchanged.
    private func file(_ specification: String, name: String = "demo") -> String {
        """
        apiVersion: sealer.io/v2
        kind: Cluster
        metadata: {name: \(name)}
        spec:
          image: hello
          provider: container
        \(specification.split(separator: "\n").map { "  \($0)" }.joined(separator: "\n"))
        """
    }

    @Test("every field")
    func everything() throws {
        let text = """
            # my cluster
            apiVersion: sealer.io/v2
            kind: Cluster
            metadata:
              name: demo-1
            spec:
              image: localhost:5000/hello:v1
              provider: container
              masters: {count: 1}
              nodes: {count: 3}
              network:
                podCIDR: 10.1.0.0/16
                svcCIDR: 10.2.0.0/24
              env:
                - GREETING=hello, "you" = me
                - EMPTY=
              certSANs: [demo.example.com, 192.0.2.7]
              container:
                nodeImage: example/node:1
                egress: true
            """
        let parsed = try Cluster.parse(text)
        let expected = Cluster(
            name: "demo-1",
            image: try Reference("localhost:5000/hello:v1"),
            provider: .container,
            masters: 1,
            nodes: 3,
            podNetwork: try IPv4Network("10.1.0.0/16"),
            serviceNetwork: try IPv4Network("10.2.0.0/24"),
            environment: ["GREETING": "hello, \"you\" = me", "EMPTY": ""],
            certificateNames: ["demo.example.com", "192.0.2.7"],
            nodeImage: "example/node:1",
            egress: true
        )
        #expect(parsed.cluster == expected)
        #expect(parsed.warnings.isEmpty)
        #expect(parsed.cluster.apiServerService.description == "10.2.0.1")
        #expect(parsed.cluster.dnsService.description == "10.2.0.10")
    }

    @Test("what is left out has its default")
    func defaults() throws {
        let cluster = try Cluster.parse(file("")).cluster
        #expect(cluster == Cluster(name: "demo", image: try Reference("hello")))
        #expect(cluster.masters == 1)
        #expect(cluster.nodes == 1)
        #expect(cluster.podNetwork.description == "10.244.0.0/16")
        #expect(cluster.serviceNetwork.description == "10.96.0.0/12")
        #expect(cluster.dnsService.description == "10.96.0.10")
        #expect(!cluster.egress)
        #expect(try Cluster.parse(file("nodes: {count: 0}")).cluster.nodes == 0)
    }

    @Test(
        "each mistake of the specification, at its place",
        arguments: [
            (
                "taint: x",
                "7:3: unknown field spec.taint, one of image, provider, masters, nodes, network, env, certSANs, container was expected"
            ),
            ("hosts: []", "7:3: spec.hosts is not supported yet"),
            ("masters: 1", "7:12: spec.masters must be a mapping, here stands a number"),
            ("masters: {}", "7:12: spec.masters.count is missing, how many there are was expected"),
            ("masters: {count: '1'}", "7:20: spec.masters.count must be a whole number, here stands a string"),
            ("masters: {count: 1, cpu: 4}", "7:23: spec.masters.cpu is not supported yet"),
            ("masters: {count: 0}", "7:20: a cluster needs a master, 0 were asked for"),
            ("masters: {count: 3}", "7:20: several masters are not supported yet, 1 was expected and 3 were asked for"),
            ("nodes: {count: -1}", "7:18: 0 to 100 nodes were expected, -1 were asked for"),
            ("nodes: {count: 1.5}", "7:18: spec.nodes.count must be a whole number, here stands a number"),
            (
                "network: {podCIDR: 10.1.2.0/16}",
                "7:22: \"10.1.2.0/16\" is an address in the network 10.1.0.0/16, the network was expected"
            ),
            (
                "network: {podCIDR: 10}",
                "7:22: spec.network.podCIDR must be a string, here stands a number: quote it, \"10\""
            ),
            (
                "network: {podCIDR: 10.100.0.0/16}",
                "7:22: the services' network 10.96.0.0/12 overlaps the pods' network 10.100.0.0/16"
            ),
            (
                "network:\n  podCIDR: 10.0.0.0/16\n  svcCIDR: 10.0.8.0/24",
                "9:14: the services' network 10.0.8.0/24 overlaps the pods' network 10.0.0.0/16"
            ),
            (
                "network: {podCIDR: 10.1.0.0/24}",
                "7:22: the pods' network 10.1.0.0/24 is too small: each of the 2 hosts needs 256 addresses"
            ),
            (
                "network: {svcCIDR: 10.0.0.0/29}",
                "7:22: the services' network 10.0.0.0/29 must have a length from /12 to /28"
            ),
            (
                "network: {svcCIDR: 127.0.0.0/16}",
                "7:22: the network 127.0.0.0/16 overlaps 127.0.0.0/8, which is for the machine itself"
            ),
            ("env: {a: b}", "7:8: spec.env must be a list of NAME=VALUE, here stands a mapping"),
            ("env: [a]", "7:9: \"a\" has no =, NAME=VALUE was expected"),
            ("env: [a=1, a=2]", "7:14: a stands twice in spec.env"),
            (
                "env: [a-b=1]",
                "7:9: \"a-b\" is not a variable's name: letters, digits and _ were expected, no digit first"
            ),
            ("env: [1]", "7:9: spec.env must be a string, here stands a number: quote it, \"1\""),
            ("certSANs: [a_b]", "7:13: \"a_b\" is neither a host name nor an IPv4 address"),
            ("certSANs: [10.0.0.256]", "7:13: \"10.0.0.256\" is neither a host name nor an IPv4 address"),
            ("container: {egress: 1}", "7:23: spec.container.egress must be true or false, here stands a number"),
            (
                "container: {nodeImage: Bad Name}",
                "7:26: \"Bad Name\" is not an image name: the repository must be lower-case letters and digits, parted by single . _ - or /"
            ),
        ]
    )
    func specification(text: String, expected: String) {
        #expect(mistakes(file(text)) == ["Clusterfile:\(expected)"])
    }

    @Test(
        "mistakes of whole documents",
        arguments: [
            ("", "1:1: the file is empty, a document of kind Cluster was expected"),
            ("x", "1:1: a document must be a mapping, here stands a string"),
            ("a: 1", "1:1: kind is missing, Cluster was expected"),
            ("kind: Config", "1:7: the kind Config is not supported yet"),
            ("kind: InitConfiguration", "1:7: the kind InitConfiguration is not supported yet"),
            ("kind: Klaster", "1:7: unknown kind Klaster, Cluster was expected"),
            ("a: {{ .X }}", "1:5: a key must be a word, here stands a mapping: a template that was not rendered?"),
        ]
    )
    func documents(text: String, expected: String) {
        #expect(mistakes(text) == ["Clusterfile:\(expected)"])
    }

    @Test("all mistakes come together, in the order of their places")
    func together() {
        let text = """
            apiVersion: sealer.cloud/v2
            kind: Cluster
            metadata:
              name: Demo
              labels: {}
            spec:
              image: Hello World
              provider: ALI_CLOUD
              masters: {count: 2}
              network: {podCIDR: nonsense}
              spech: 1
            ---
            kind: Plugin
            ---
            apiVersion: sealer.io/v2
            kind: Cluster
            """
        let found = mistakes(text)
        let places = found.map { $0.split(separator: " ", maxSplits: 1).first.map(String.init) ?? "" }
        #expect(
            places.map { $0.dropFirst("Clusterfile:".count) } == [
                "1:13:", "4:9:", "5:3:", "7:10:", "8:13:", "9:20:", "9:20:", "10:22:", "11:3:", "13:7:", "15:1:",
            ],
            "\(found)"
        )
        #expect(found.contains { $0.contains("warning: etcd on 2 masters survives no more losses than on 1") })
        #expect(found.contains { $0.contains("the provider ALI_CLOUD is not supported yet") })
        #expect(found.last == "Clusterfile:15:1: a second document of kind Cluster, the first stands in line 1")
        #expect(
            mistakes("kind: Cluster").map { $0.dropFirst("Clusterfile:1:1: ".count).prefix { $0 != "," } } == [
                "apiVersion is missing", "metadata is missing", "spec is missing",
            ])
    }

    @Test("names", arguments: ["a", "demo", "my-cluster-2", "1a", String(repeating: "x", count: 40)])
    func names(name: String) throws {
        try Cluster.checkName(name)
        #expect(try Cluster.parse(file("", name: "'\(name)'")).cluster.name == name)
    }

    @Test(
        "bad names",
        arguments: ["", "-a", "a-", "A", "a.b", "a_b", "a/b", "..", "é", String(repeating: "x", count: 41)])
    func badNames(name: String) {
        #expect(throws: Failure.self) { try Cluster.checkName(name) }
        let found = mistakes(file("", name: "'\(name)'"))
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("Clusterfile:3:18: ") == true)
    }

    @Test("a cluster made in code is checked by the same rules")
    func check() throws {
        var cluster = Cluster(name: "demo", image: try Reference("hello"))
        #expect(try cluster.check() == [])
        cluster.name = "Demo"
        cluster.masters = 0
        cluster.environment = ["a b": "c"]
        do throws(Failure) {
            try cluster.check()
            Issue.record("a wrong cluster was accepted")
        } catch {
            #expect(error.kind == .invalidInput)
            #expect(error.what.split(separator: ";").count == 3, "\(error.what)")
        }
    }

    @Test("whatever is written is read back equal")
    func roundTrip() throws {
        var random = SeededGenerator(seed: 11)
        let values = [
            "", "yes", "1.30", "a=b", " x ", "two\nlines\n", "\"q\"", "é", "#", "0755", "{a}", "$HOME", "- x", "null",
        ]
        for _ in 0..<500 {
            var cluster = Cluster(
                name: ["yes", "1", "null", "demo-7"].randomElement(using: &random) ?? "x",
                image: try Reference("hello:1.30"))
            cluster.nodes = Int.random(in: 0...50, using: &random)
            cluster.egress = Bool.random(using: &random)
            if Bool.random(using: &random) { cluster.podNetwork = try IPv4Network("172.16.0.0/12") }
            if Bool.random(using: &random) { cluster.serviceNetwork = try IPv4Network("192.168.0.0/20") }
            if Bool.random(using: &random) { cluster.certificateNames = ["10.0.0.1", "a.example"] }
            for name in ["A", "b_1", "_"] where Bool.random(using: &random) {
                cluster.environment[name] = values.randomElement(using: &random)
            }
            let parsed = try Cluster.parse(cluster.text)
            #expect(parsed.cluster == cluster, "\(cluster.text)")
            #expect(parsed.cluster.text == cluster.text)
        }
    }

    @Test("a Clusterfile with seeded mutations never crashes, and mistakes lie inside the text")
    func mutations() throws {
        let original = Array(
            Cluster(name: "demo", image: try Reference("hello"), environment: ["A": "1"]).text.unicodeScalars
        )
        var random = SeededGenerator(seed: 5)
        let letters = Array(":-{}[]#'\"\n \ta1,&*!|".unicodeScalars)
        for _ in 0..<3000 {
            var text = original
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let index = Int.random(in: 0..<text.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: text.remove(at: index)
                case 1: text.insert(letters.randomElement(using: &random) ?? " ", at: index)
                default: text[index] = letters.randomElement(using: &random) ?? " "
                }
            }
            let string = String(String.UnicodeScalarView(text))
            let lines = string.split(separator: "\n", omittingEmptySubsequences: false)
            do throws(InvalidText) {
                _ = try Cluster.parse(string)
            } catch {
                for diagnostic in error.diagnostics {
                    #expect((1...lines.count).contains(diagnostic.line), "\(diagnostic) for \(string)")
                    #expect((1...string.count + 1).contains(diagnostic.column), "\(diagnostic) for \(string)")
                }
            }
        }
    }
}
