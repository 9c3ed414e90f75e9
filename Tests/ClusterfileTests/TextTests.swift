import Clusterfile
import OCI
import Report
import TestSupport
import Testing

@Suite("Clusterfile: what is written")
struct TextTests {
    @Test("the way to a host as options, without the secret itself")
    func options() {
        #expect(SSHSettings().options == [])
        let settings = SSHSettings(
            user: "ann", password: .literal(.init("hunter2")), identityFile: "/k", passphrase: .environment("P"),
            port: 22)
        #expect(
            settings.options == [
                "--user", "ann", "--passwd", "prompt", "--pk", "/k", "--pk-passwd", "env:P", "--port", "22",
            ])
    }

    @Test("a file that people can read")
    func form() throws {
        let cluster = Cluster(
            name: "shop", image: try Reference("localhost:5000/shop:1.0"),
            hosts: [
                HostGroup(addresses: try [IPAddress](ranges: "192.168.0.2-4"), roles: ["master"]),
                HostGroup(
                    addresses: try [IPAddress](ranges: "192.168.0.7,192.168.0.8"), roles: ["node", "db"],
                    labels: ["disk": "ssd"]),
                HostGroup(provider: .container, count: 2, roles: ["node"]),
            ],
            ssh: SSHSettings(user: "admin", password: .literal(.init("hunter2"))),
            environment: ["COLOUR": "blue"],
            plugins: [Plugin(name: "swap", kind: .shell, phases: [.preInitHost, .preJoin], data: "swapoff -a\nrm x\n")]
        )
        #expect(
            cluster.text == """
                apiVersion: sealer.io/v2
                kind: Cluster
                metadata:
                  name: shop
                spec:
                  image: localhost:5000/shop:1.0
                  hosts:
                    - provider: baremetal
                      ips:
                        - "192.168.0.2-192.168.0.4"
                      roles:
                        - master
                    - provider: baremetal
                      ips:
                        - "192.168.0.7"
                        - "192.168.0.8"
                      roles:
                        - node
                        - db
                      labels:
                        disk: ssd
                    - provider: container
                      count: 2
                      roles:
                        - node
                  ssh:
                    user: admin
                    passwd: prompt
                  network:
                    podCIDR: 10.244.0.0/16
                    svcCIDR: 10.96.0.0/12
                  env:
                    - COLOUR=blue
                ---
                apiVersion: sealer.io/v1
                kind: Plugin
                metadata:
                  name: swap
                spec:
                  type: SHELL
                  action: pre-init-host|pre-join
                  data: |
                    swapoff -a
                    rm x

                """)
    }

    @Test("whatever is written is read back equal, but for secrets")
    func roundTrip() throws {
        var generator = ClusterGenerator(seed: 11)
        for _ in 0..<1000 {
            let cluster = try generator.cluster()
            #expect(cluster.problems.filter { $0.severity == .error } == [])
            let text = cluster.text
            #expect(!text.contains("hunter2"))
            do throws(InvalidText) {
                let parsed = try Cluster.parse(text)
                #expect(parsed.cluster == cluster.withoutSecrets, "\(text)")
                #expect(parsed.cluster.text == text)
            } catch {
                Issue.record("\(error)\n\(text)")
            }
        }
    }

    @Test("texts with seeded mutations never crash, and mistakes lie inside the text")
    func mutations() throws {
        var generator = ClusterGenerator(seed: 12)
        var random = SeededGenerator(seed: 5)
        let letters = Array(":-{}[]#'\"\n \ta1,&*!|=/.~%".unicodeScalars)
        for round in 0..<6000 {
            var text = Array(
                (round % 3 == 0 ? examples[round % examples.count] : try generator.cluster().text).unicodeScalars)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: 0..<text.count, using: &random)
                switch Int.random(in: 0..<5, using: &random) {
                case 0: text.remove(at: index)
                case 1: text.insert(letters.randomElement(using: &random) ?? " ", at: index)
                case 2: text[index] = letters.randomElement(using: &random) ?? " "
                case 3:
                    // A line comes twice, or goes.
                    let end = text[index...].firstIndex(of: "\n") ?? text.count
                    if Bool.random(using: &random) {
                        text.insert(contentsOf: text[index..<end], at: index)
                    } else {
                        text.removeSubrange(index..<max(end, index + 1))
                    }
                default: text.insert(contentsOf: Array("99999999999999999999".unicodeScalars), at: index)
                }
                if text.isEmpty { text = ["a"] }
            }
            let string = String(String.UnicodeScalarView(text))
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            func isInside(_ diagnostic: Diagnostic) -> Bool {
                (1...lines.count).contains(diagnostic.line) && (1...text.count + 1).contains(diagnostic.column)
            }
            do throws(InvalidText) {
                let parsed = try Cluster.parse(string)
                #expect(parsed.warnings.allSatisfy(isInside), "\(parsed.warnings) for \(string)")
                #expect(parsed.warnings.allSatisfy { $0.severity == .warning })
                // What was read can be written and read again.
                #expect(
                    try Cluster.parse(parsed.cluster.text).cluster == parsed.cluster.withoutSecrets.inOrder, "\(string)"
                )
            } catch {
                #expect(error.diagnostics.allSatisfy(isInside), "\(error) for \(string)")
                #expect(error.diagnostics.contains { $0.severity == .error })
            }
        }
    }

    /// Texts in other forms than the written one.
    private let examples = [
        shortFile("masters: {count: 3}\nnodes: {count: \"2\"}\nenv: {A: \"1\"}", version: "sealer.cloud/v2"),
        shortFile("masters: {ipList: [192.168.0.2-4]}\nnodes: {ipList: [\"192.168.0.7:22\"]}").replacing(
            "container", with: "BAREMETAL"),
        file("ssh: {user: root, passwd: env:A, port: \"22\"}\nhostAliases: [{ip: 10.0.0.9, hostnames: [a.b]}]"),
        file(
            document:
                "apiVersion: sealer.io/v1\nkind: Plugin\nmetadata: {name: a}\nspec:\n  type: TAINT\n  action: PreGuest|PostJoin\n  on: 192.168.0.2-3\n  data: |\n    192.168.0.2 a=b:NoSchedule-\n"
        ),
    ]
}

extension Cluster {
    /// The cluster with the names of the registry's certificate in the order of the written file.
    fileprivate var inOrder: Cluster {
        var cluster = self
        let names = registry.certificateNames
        cluster.registry.certificateNames =
            names.filter { IPAddress($0) == nil } + names.filter { IPAddress($0) != nil }
        return cluster
    }
}
